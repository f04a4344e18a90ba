"""muomni."""
