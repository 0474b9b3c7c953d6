"""The local AWS: an emulation of the services that the blueprint uses, which checks each call against
its role's policies."""
