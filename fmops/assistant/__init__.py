"""The claims desk assistant: what a fork replaces first (agent.py, tools.py, claims.py, the prompt, the documents)."""
