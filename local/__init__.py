"""The local AWS and its runner: development only, nothing of it is deployed."""
