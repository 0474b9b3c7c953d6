"""Parts that every agent builds on: the request context, records, documents and their retrieval, and
authorization."""
