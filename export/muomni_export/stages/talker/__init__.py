"""The Talker: the reference's, and the text-conditioned one with its phonemizer."""

from .stage import TALKER, LoadedTalker

__all__ = ["TALKER", "LoadedTalker"]
