"""A stand-in for the ADOT collector: reads the same configuration, sends the same documents.

It is held to what the exporters of ADOT v0.49.0 produced (tests/local/golden), and refuses to start with what it does
not implement. Started only where no real collector is on PATH.
"""
