"""The identity of callers: ID tokens, checked against the published keys of the issuer."""
