"""OCR: the text in a picture, by an encoder and a decoder of characters of its own."""

from .stage import OCR, LoadedOcr

__all__ = ["OCR", "LoadedOcr"]
