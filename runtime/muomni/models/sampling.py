"""Logits to a token: greedy, or drawn after temperature, top-k and top-p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muomni.errors import InputError


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is chosen.

    Attributes:
        temperature: 0 is greedy (the most likely token); else logits are divided by it.
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: keep the smallest set of tokens whose probability reaches p (Holtzman et al. 2020); 1 keeps all.
        repetition_penalty: divide positive and multiply negative logits of tokens already in the
            prompt or the reply by this (Keskar et al. 2019); 1 is off. Works with greedy too.
        seed: of the random draws; None draws a fresh one.

    Raises:
        InputError: a value out of range.

    Example:
        >>> SamplingOptions(temperature=0.8, top_p=0.95, seed=7).top_k
        0
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, value, fits, expected in (
            ("temperature", self.temperature, 0 <= self.temperature < float("inf"), "0 (greedy) or above"),
            ("top_k", self.top_k, self.top_k >= 0, "0 (all) or above"),
            ("top_p", self.top_p, 0 < self.top_p <= 1, "above 0 and at most 1"),
            (
                "repetition_penalty",
                self.repetition_penalty,
                0 < self.repetition_penalty < float("inf"),
                "above 0",
            ),
            ("seed", self.seed, self.seed is None or self.seed >= 0, "0 or above"),
        ):
            if not fits:
                raise InputError(f"{name}: expected {expected}, got {value}")


class Sampler:
    """Draws tokens; holds the random generator, so one sampler serves one reply.

    Example:
        >>> Sampler(SamplingOptions()).pick(np.array([0.1, 2.0, 0.3], dtype=np.float32))
        1
    """

    def __init__(self, options: SamplingOptions) -> None:
        self.options = options
        # Made when needed: importing numpy.random takes 20 ms, which a greedy reply need not wait for.
        self._random: np.random.Generator | None = None

    def pick(self, logits: NDArray[np.float32], seen: Sequence[int] = ()) -> int:
        """Choose a token from logits (V,); ``seen`` are the ids the repetition penalty applies to."""
        options = self.options
        if options.repetition_penalty != 1.0 and seen:
            logits = logits.copy()
            ids = np.unique(np.asarray(seen, dtype=np.int64))
            values = logits[ids]
            penalty = options.repetition_penalty
            logits[ids] = np.where(values > 0, values / penalty, values * penalty)
        if options.temperature == 0:
            return int(logits.argmax())
        if self._random is None:
            self._random = np.random.default_rng(options.seed)
        probabilities, ids = self._distribution(logits)
        return int(ids[self._random.choice(len(ids), p=probabilities)])

    def _distribution(self, logits: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Probabilities, most likely first, of the tokens that are left, and their ids."""
        options = self.options
        ids: NDArray[np.int64] = np.arange(logits.size)
        if 0 < options.top_k < logits.size:
            ids = np.argpartition(logits, -options.top_k)[-options.top_k :]
        scaled = logits[ids].astype(np.float64) / options.temperature
        order = np.argsort(-scaled, kind="stable")
        ids, scaled = ids[order], scaled[order]
        probabilities = np.exp(scaled - scaled[0])
        probabilities /= probabilities.sum()
        if options.top_p < 1:
            # Keep tokens until their sum reaches p; the first is always kept.
            kept = int(np.searchsorted(np.cumsum(probabilities), options.top_p)) + 1
            ids, probabilities = ids[:kept], probabilities[:kept]
            probabilities /= probabilities.sum()
        return probabilities, ids
