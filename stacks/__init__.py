"""Stacks of the blueprint: thin, each wires constructs for one part of the loop."""
