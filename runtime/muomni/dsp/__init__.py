"""Signal processing with numpy: STFT, mel, resampling, Griffin-Lim."""
