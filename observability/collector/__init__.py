"""The ADOT collector's configuration: the file that runs, and its strict type."""
