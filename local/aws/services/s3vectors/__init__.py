"""S3 Vectors: vector buckets and indexes, exact search over one array per index, filters over columns of metadata."""
