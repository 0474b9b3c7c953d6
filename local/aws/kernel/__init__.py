"""The kernel of the emulation: operations, the state and clients of one cloud, credentials, HTTP
answers and ports."""
