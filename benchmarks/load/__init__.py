"""Clients and measurements of ``serving.py``: what a running server is asked, and what is noted of its answers."""
