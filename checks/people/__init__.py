"""The pages of a running deployment used as people use them, in a real browser."""
