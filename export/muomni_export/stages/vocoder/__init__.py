"""The vocoder: HiFi-GAN, one that predicts a spectrum, or Griffin-Lim where a checkpoint has none."""

from .stage import VOCODER

__all__ = ["VOCODER"]
