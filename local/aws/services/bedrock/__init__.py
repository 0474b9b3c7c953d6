"""Amazon Bedrock: inference, its catalog, guardrails and evaluation jobs, with stand-ins for the models."""
