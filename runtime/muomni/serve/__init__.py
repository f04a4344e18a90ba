"""A server over the engine's events."""
