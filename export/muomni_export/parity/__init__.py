"""Graphs against torch: at export, and again from the recording."""
