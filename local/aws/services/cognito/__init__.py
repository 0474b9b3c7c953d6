"""Cognito on moto, with what moto leaves out: TOTP, required MFA, the pre-token-generation trigger, rotating
refresh tokens, and managed login with its OAuth 2.0 endpoints."""
