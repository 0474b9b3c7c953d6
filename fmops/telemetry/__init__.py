"""Traces and metrics: set up, named in one module, and cleaned of content before they leave the process."""
