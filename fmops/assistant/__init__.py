"""The assistant that serves an agent: HTTP, identity, guardrails, authorization, approvals, review and playground."""
