"""Load on the deployed assistant: many signed-in users over HTTP, and what one task holds."""
