"""A SentencePiece BPE model made without training: letters, then their most likely combinations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from sentencepiece import sentencepiece_model_pb2

from muomni.errors import InputError

schema: Any = sentencepiece_model_pb2  # generated, without types

SPACE = "▁"
LETTERS = "etaoinshrdlcumwfgypbvkjxqz"  # the most frequent in English first
PRINTABLE = tuple(chr(code) for code in range(ord("!"), ord("~") + 1))
SPECIAL = ("<unk>", "<s>", "</s>")
SMALLEST = len(SPECIAL) + 256 + 1 + len(PRINTABLE)
LARGEST = 300_000


def tokenizer_model(vocabulary: int) -> bytes:
    """A model of exactly so many pieces: unk 0, bos 1, eos 2, all bytes, combinations of letters, ASCII.

    Any text survives encoding and decoding (but for a leading space).

    Raises:
        InputError: a vocabulary below the 354 pieces this needs, or above 300 000.
    """
    if not SMALLEST <= vocabulary <= LARGEST:
        raise InputError(f"vocabulary: expected {SMALLEST} to {LARGEST} pieces, got {vocabulary}")
    model = schema.ModelProto()
    kinds = schema.ModelProto.SentencePiece
    for piece, kind in zip(SPECIAL, (kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL), strict=True):
        model.pieces.add(piece=piece, score=0.0, type=kind)
    for byte in range(256):
        model.pieces.add(piece=f"<0x{byte:02X}>", score=0.0, type=kinds.BYTE)
    combinations = islice(_combinations(), vocabulary - SMALLEST)
    # BPE merges the neighbours whose piece has the highest score; single characters rank last.
    merged = [(piece, -float(rank)) for rank, piece in enumerate(combinations)]
    single = [(piece, -float(len(merged) + rank)) for rank, piece in enumerate((SPACE, *PRINTABLE))]
    for piece, score in merged + single:
        model.pieces.add(piece=piece, score=score, type=kinds.NORMAL)
    trainer = model.trainer_spec
    trainer.model_type = schema.TrainerSpec.BPE
    trainer.vocab_size = vocabulary
    trainer.byte_fallback = True
    trainer.unk_id, trainer.bos_id, trainer.eos_id, trainer.pad_id = 0, 1, 2, -1
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = True
    return bytes(model.SerializeToString(deterministic=True))


def _combinations() -> Iterator[str]:
    """Distinct pieces of two letters and more, each made of an earlier one and a letter."""
    shorter = [SPACE, *LETTERS]
    while True:
        ranked = (
            (i + j, piece + letter) for i, piece in enumerate(shorter) for j, letter in enumerate(LETTERS)
        )
        shorter = [piece for _, piece in sorted(ranked, key=lambda item: item[0])]
        yield from shorter
