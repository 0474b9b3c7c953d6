"""A deployment at scale: the AWS calls of an ordinary request, measured, and days of many requests, simulated."""
