"""For whoever changes the agent: ask it in seconds, check it in seconds, and add a tool."""
