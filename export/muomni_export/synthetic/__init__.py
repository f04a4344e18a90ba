"""Checkpoint sets with random weights, for tests and benchmarks."""
