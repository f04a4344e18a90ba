"""Text <-> token ids with the bundle's SentencePiece model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from muomni.bundle.manifest import TokenizerEntry
from muomni.errors import BundleError, InputError


class Tokenizer:
    """A SentencePiece model and its special ids.

    Example:
        >>> omni.tokenizer.decode(omni.tokenizer.encode("Hello!"))
        'Hello!'

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
            self._model.id_to_piece(list(range(self._model.get_piece_size())))  # whose UTF-8 nobody checked
        except (OSError, RuntimeError, UnicodeDecodeError) as error:
            raise BundleError(f"{path}: not a SentencePiece model ({error})") from error
        if self._model.get_piece_size() != entry.pieces:
            raise BundleError(
                f"{path}: {self._model.get_piece_size()} pieces, the manifest says {entry.pieces}"
            )
        self.bos_id, self.eos_id, self.unk_id = entry.bos_id, entry.eos_id, entry.unk_id
        self.pieces = entry.pieces
        names = (f"<0x{byte:02X}>" for byte in range(0x80, 0xC0))
        ids = (int(self._model.piece_to_id(name)) for name in names)
        self._text_after: dict[int, tuple[str, int]] = {}
        self._continuation_bytes = frozenset(i for i in ids if self._model.is_byte(i))

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
        """Text of the ids; those that stand for no text (see :meth:`is_text`) are dropped."""
        return str(self._model.decode([int(i) for i in ids if self.is_text(i)]))

    def is_text(self, token: int) -> bool:
        """False for bos and eos, and for ids past the tokenizer's pieces (a head can have more rows than those)."""
        return token < self.pieces and token != self.bos_id and token != self.eos_id

    def is_continuation_byte(self, token: int) -> bool:
        """Whether the id is one byte of a character in UTF-8, and not its first."""
        return token in self._continuation_bytes

    def text_after(self, token: int) -> tuple[str, int]:
        """What an id adds to any text before it, and how many characters decoding it alone gives; ``("", 0)`` for ids
        of which the first depends on the text, or the second is none.

        Example:
            >>> [omni.tokenizer.text_after(i) for i in omni.tokenizer.encode("Hello there")]
            [(' Hello', 5), (' there', 5)]
        """
        found = self._text_after.get(token)
        if found is None:
            found = "", 0
            if self.is_text(token) and token != self.unk_id and not self._model.is_byte(token):
                added = self.bytes_of(token).decode()
                alone = self.decode([token])
                if alone and "\ufffd" not in added and self.decode([token, token]) == alone + added:
                    found = added, len(alone)
            self._text_after[token] = found
        return found

    def bytes_of(self, token: int) -> bytes:
        """What an id adds to a text, in UTF-8: part of a character where it is one byte, nothing where it is no text.

        Example:
            >>> [omni.tokenizer.bytes_of(i) for i in omni.tokenizer.encode("Hello there")]
            [b' Hello', b' there']
        """
        if not self.is_text(token) or self._model.is_control(token):
            return b""
        if self._model.is_unknown(token):
            return str(self._model.decode([token])).encode()
        piece = str(self._model.id_to_piece(token))
        if self._model.is_byte(token):
            return bytes([int(piece[3:5], 16)])
        return piece.replace("\N{LOWER ONE EIGHTH BLOCK}", " ").encode()
