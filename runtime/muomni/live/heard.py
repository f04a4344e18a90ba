"""How much of a reply was heard, when its speech was stopped in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from muomni.engine.speaking import CHARACTERS_PER_SECOND


class Decodes(Protocol):
    """What is needed of a tokenizer."""

    def decode(self, ids: Sequence[int]) -> str: ...


def heard_text(text: str, heard_ms: float, sent_ms: float, whole: bool) -> str:
    """The words of a text that were spoken whole in the first ``heard_ms`` of its speech.

    Speech is taken to be even: the Talker's own time for each phoneme is not kept.

    Args:
        sent_ms: speech that was made of it.
        whole: all of it was; else the text may go beyond it.

    Example:
        >>> heard_text("One two three four.", 500, 1000, whole=True)
        'One two'
    """
    length_ms = sent_ms if whole else max(sent_ms, 1000 * len(text) / CHARACTERS_PER_SECOND)
    if heard_ms >= length_ms:
        return text
    end = int(len(text) * max(0.0, heard_ms) / length_ms)
    while 0 < end < len(text) and not (text[end].isspace() and not text[end - 1].isspace()):
        end -= 1
    return text[:end]


def ids_within(tokenizer: Decodes, ids: Sequence[int], text: str) -> tuple[int, ...]:
    """The longest beginning of a reply's ids that says no more than ``text``, a beginning of its text.

    Example:
        >>> ids_within(tokenizer, reply.token_ids, "One two")
    """
    count = 0
    for size in range(1, len(ids) + 1):
        said = tokenizer.decode(ids[:size]).rstrip("\ufffd")
        if not text.startswith(said):
            break
        if said:
            count = size
    return tuple(ids[:count])
