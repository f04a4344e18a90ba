"""Files to arrays and back: images, video, audio."""
