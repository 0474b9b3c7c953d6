"""The contents of the deployables: licences of their distributions, and bills of materials."""
