"""muomni itself."""

from __future__ import annotations

from models import NEW_TOKENS, PROMPT_TOKENS, Work

from .base import Contender


class Muomni(Contender):
    @classmethod
    def prepare(cls, work: Work, precision: str) -> None:
        work.bundle(precision)

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        from muomni import Omni

        self.thinker = Omni.load(work.bundle(precision), device="cpu", threads=threads).thinker

    def prefill(self, prompt: list[int]) -> int:
        self.state = self.thinker.start(PROMPT_TOKENS + NEW_TOKENS)
        return int(self.thinker.feed(self.state, prompt).argmax())

    def step(self, token: int) -> int:
        return int(self.thinker.feed(self.state, [token]).argmax())
