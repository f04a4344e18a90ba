"""Talking as it happens: who speaks when, what was heard; microphone and loudspeaker."""
