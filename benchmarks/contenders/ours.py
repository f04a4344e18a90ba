"""muomni itself."""

from __future__ import annotations

from pathlib import Path

from models import NEW_TOKENS, PROMPT_TOKENS, Work

from .base import Contender


class Muomni(Contender):
    @classmethod
    def prepare(cls, work: Work, precision: str) -> None:
        cls.bundle(work, precision)

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        from muomni import Omni

        self.thinker = Omni.load(self.bundle(work, precision), device="cpu", threads=threads).thinker

    @staticmethod
    def bundle(work: Work, precision: str) -> Path:
        return work.bundle(precision)

    def prefill(self, prompt: list[int]) -> int:
        self.state = self.thinker.start(PROMPT_TOKENS + NEW_TOKENS)
        return int(self.thinker.feed(self.state, prompt).argmax())

    def step(self, token: int) -> int:
        return int(self.thinker.feed(self.state, [token]).argmax())


class Drafting(Muomni):
    """With the head that drafts in 4 bits and computes the likeliest logits exactly."""

    @staticmethod
    def bundle(work: Work, precision: str) -> Path:
        return work.bundle(precision, draft_head=True)
