"""What would stop a deployment, asked of the account before it: read-only calls, one line for each answer."""
