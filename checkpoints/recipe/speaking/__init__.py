"""Speaking: letters -> sounds -> speech codes -> mel -> samples, learned from espeak-ng. See README.md."""
