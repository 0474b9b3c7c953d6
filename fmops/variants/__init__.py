"""Variants of the assistant (prompt, model, documents) that evaluations and the playground try in a sandbox."""
