"""The local AWS and its runner, for development only: nothing of it is deployed."""
