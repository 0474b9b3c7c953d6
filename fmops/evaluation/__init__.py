"""Evaluation: datasets, judges, the gate between a candidate and production, and experiments."""
