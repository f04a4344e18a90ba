"""Text <-> token ids with the bundle's SentencePiece model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from muomni.bundle.manifest import TokenizerEntry
from muomni.errors import BundleError, InputError


class Tokenizer:
    """A SentencePiece model and its special ids.

    Raises (when made):
        BundleError: the file is not a SentencePiece model, or not the one the manifest describes.

    Example:
        >>> ids = omni.tokenizer.encode("Hello!")
        >>> omni.tokenizer.decode(ids)
        'Hello!'
    """

    def __init__(self, path: Path, entry: TokenizerEntry) -> None:
        import sentencepiece

        try:
            self._model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise BundleError(f"{path}: not a SentencePiece model ({error})") from error
        if self._model.get_piece_size() != entry.pieces:
            raise BundleError(
                f"{path}: {self._model.get_piece_size()} pieces, the manifest says {entry.pieces}"
            )
        self.bos_id, self.eos_id, self.unk_id = entry.bos_id, entry.eos_id, entry.unk_id
        self._pieces = entry.pieces

    def encode(self, text: str) -> list[int]:
        """Ids of the text, without bos or eos.

        Raises:
            InputError: a lone surrogate, which is what bytes that are not UTF-8 become on a command line.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"the text is not valid Unicode: expected UTF-8, got {text[error.start]!r} at character {error.start}"
            ) from None
        return [int(i) for i in self._model.encode(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids; special ids are dropped, and so are ids past the tokenizer's pieces
        (a head can have more rows than the tokenizer has pieces)."""
        special = (self.bos_id, self.eos_id)
        return str(self._model.decode([int(i) for i in ids if i not in special and i < self._pieces]))
