"""Checks of what would stop a deployment, made in the account beforehand: read-only calls, one line for each
answer."""
