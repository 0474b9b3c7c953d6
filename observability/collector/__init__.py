"""The configuration of the ADOT collector: the file that runs, and its strict type."""
