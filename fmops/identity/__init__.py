"""Callers: their ID tokens, checked against the published keys of the issuer."""
