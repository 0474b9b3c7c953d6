"""Attacks on the served assistant: what each layer stops, and what nothing stops. ``make attack`` runs it."""
