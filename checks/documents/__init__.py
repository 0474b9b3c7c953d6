"""The documents' way on a large scale, in the local AWS: published, indexed, and reported when they cannot be found."""
