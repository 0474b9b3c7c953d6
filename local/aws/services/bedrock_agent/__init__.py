"""Bedrock Knowledge Bases of type VECTOR on S3 Vectors: data sources, ingestion, parsing, chunking and Retrieve."""
