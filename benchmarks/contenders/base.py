"""What every contender can do: take a prompt, then token after token, and give the greedy next one."""

from __future__ import annotations

from abc import ABC, abstractmethod

from models import Work


class Contender(ABC):
    """One way to run the Thinker, loaded and ready.

    Args:
        work: the files; what this contender reads of them was made by :meth:`prepare`, in another process.
        precision: ``fp32``, ``int8`` or ``int4``.
        threads: of every pool that computes.
    """

    @classmethod
    @abstractmethod
    def prepare(cls, work: Work, precision: str) -> None:
        """Make the files that are loaded, if they are not there: conversion must not count as memory or time."""

    @abstractmethod
    def __init__(self, work: Work, precision: str, threads: int) -> None: ...

    @abstractmethod
    def prefill(self, prompt: list[int]) -> int:
        """Begin anew with a prompt; give the first token."""

    @abstractmethod
    def step(self, token: int) -> int:
        """Take the token that was given last, give the next."""

    def forced(self, prompt: list[int], ids: list[int]) -> list[int]:
        """What this contender finds likeliest after the prompt and after each beginning of ``ids``, as many as ids."""
        return [self.prefill(prompt), *(self.step(token) for token in ids[:-1])]
