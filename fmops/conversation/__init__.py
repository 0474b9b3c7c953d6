"""One conversation with the agent, from a chat request to its recorded answer: guarded, limited and paid
for.
"""
