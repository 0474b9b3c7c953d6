"""Stacks of the blueprint. They are thin: each wires constructs for one part of the loop."""
