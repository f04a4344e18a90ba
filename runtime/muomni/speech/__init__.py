"""Text to phonemes to what the Talker reads; no graphs."""
