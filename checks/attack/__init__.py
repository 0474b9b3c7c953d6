"""Attacks on the served assistant: those that a layer stops, and those that nothing stops. ``make
attack`` runs them."""
