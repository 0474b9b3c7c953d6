"""Faults against the deployed assistant: what its users see, what is recorded, what is lost, and when it recovers."""
