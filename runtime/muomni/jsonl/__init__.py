"""Requests and replies as JSON Lines: what a batch reads and writes, here or on a cluster."""
