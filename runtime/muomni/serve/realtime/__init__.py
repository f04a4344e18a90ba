"""Spoken conversations over a websocket: OpenAI's Realtime API."""
