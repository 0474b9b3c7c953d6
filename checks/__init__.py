"""Packs that test the whole product: attacks, faults, load, benchmarks and the supply chain."""
