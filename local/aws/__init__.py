"""The local AWS: an emulation of the services that the blueprint uses, each call held to the policies of its
role.
"""
