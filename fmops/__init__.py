"""The runtime library of the FMOps blueprint. It uses AWS APIs and open protocols, and never asks where it
runs.
"""
