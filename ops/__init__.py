"""Commands for those who operate a deployment: before it is deployed, while it serves, and when it is
removed.
"""
