"""A tokenizer of single letters, where tests need one whose ids can be read."""

from __future__ import annotations


class Letters:
    """Ids are the letters' code points."""

    def encode(self, text: str | list[str]) -> list:  # type: ignore[type-arg]
        return [ord(c) for c in text] if isinstance(text, str) else [self.encode(t) for t in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))
