"""Requests that a deployment can serve in a day: the rate of each AWS call, a new account's quotas, the first limit."""
