"""What the deployables are made of: licences of their distributions, and bills of materials."""
