"""Measurement for ``muomni-bench``: no torch, nothing that only an export needs."""
