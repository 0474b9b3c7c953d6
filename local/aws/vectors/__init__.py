"""Exact search over vectors with metadata, for S3 Vectors.

It stands apart from the services, whose modules are all imported at the start: numpy is not needed before there are
vectors.
"""
