"""A stand-in for the ADOT collector that reads the same configuration and sends the same documents.

It is tested against the recorded output of ADOT v0.49.0's exporters (tests/local/golden), and refuses to start
with settings that it does not implement. It is started only if no real collector is on PATH.
"""
