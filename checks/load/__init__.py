"""Load on the deployed assistant: many signed-in users over HTTP, to find out how much one task can take."""
