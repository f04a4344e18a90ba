"""Logits to a token: greedy, or drawn after temperature, top-k and top-p."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muomni.errors import InputError

LOWEST_TEMPERATURE = 1e-30
"""Below it nothing changes any more, but the division would overflow."""

FLOATS = ("temperature", "top_p", "repetition_penalty", "presence_penalty", "frequency_penalty")


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is chosen.

    Attributes:
        temperature: 0 is greedy (the most likely token); else logits are divided by it.
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: keep the smallest set of tokens whose probability reaches p (Holtzman et al. 2020); 1 keeps all.
        repetition_penalty: divide positive and multiply negative logits of tokens already in the
            prompt or the reply by this (Keskar et al. 2019); 1 is off. Works with greedy too.
        presence_penalty: subtract this from the logits of ids that the reply already has (as OpenAI does); 0 is off.
        frequency_penalty: subtract this for each time the reply already has an id; 0 is off.
        seed: of the random draws; None draws a fresh one.

    Raises:
        InputError: a value of another type or out of range.

    Example:
        >>> SamplingOptions(temperature=0.7, top_p=0.9, seed=1).greedy
        False
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    def __post_init__(self) -> None:
        whole = ("top_k", *(["seed"] if self.seed is not None else []))
        for name in whole:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise InputError(f"{name}: expected a whole number, got {type(value).__name__} {value!r}")
        for name in FLOATS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
                raise InputError(f"{name}: expected a number, got {type(value).__name__} {value!r}")
            try:
                object.__setattr__(self, name, float(value))
            except OverflowError:
                raise InputError(f"{name}: expected a number, got one of more than 300 digits") from None
        for name, fits, expected in (
            ("temperature", 0 <= self.temperature < float("inf"), "0 (greedy) or above"),
            ("top_k", self.top_k >= 0, "0 (all) or above"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("repetition_penalty", 0 < self.repetition_penalty < float("inf"), "above 0"),
            ("presence_penalty", -2 <= self.presence_penalty <= 2, "-2 to 2"),
            ("frequency_penalty", -2 <= self.frequency_penalty <= 2, "-2 to 2"),
            ("seed", self.seed is None or self.seed >= 0, "0 or above"),
        ):
            if not fits:
                raise InputError(f"{name}: expected {expected}, got {getattr(self, name)}")

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature == 0

    @property
    def penalised(self) -> bool:
        """Whether ids that were seen count."""
        return (self.repetition_penalty, self.presence_penalty, self.frequency_penalty) != (1.0, 0.0, 0.0)


class Sampler:
    """Draws tokens; holds the random generator, so one sampler serves one reply.

    Args:
        prompt_ids: what the repetition penalty also applies to.

    Example:
        >>> Sampler(SamplingOptions()).pick(np.array([0.1, 2.0, 0.3], dtype=np.float32))
        1
    """

    def __init__(self, options: SamplingOptions, prompt_ids: Sequence[int] = ()) -> None:
        self.options = options
        self.seed: int | None = None
        """Of the draws, so that they can be repeated; None where nothing is drawn."""
        if not options.greedy:
            # 32 bits: more than anyone repeats by hand, and exact in every reader of JSON.
            self.seed = int.from_bytes(os.urandom(4)) if options.seed is None else int(options.seed)
        self._prompt_ids = tuple(prompt_ids)
        # Made when needed: importing numpy.random takes 20 ms, which a greedy reply need not wait for.
        self._random: np.random.Generator | None = None

    def pick(self, logits: NDArray[np.float32], made: Sequence[int] = ()) -> int:
        """Choose a token from logits (V,); ``made`` are the ids of the reply so far."""
        if self.options.penalised:
            logits = self._penalise(logits, made)
        if self.options.temperature == 0:
            return int(logits.argmax())
        if self._random is None:
            self._random = np.random.default_rng(self.seed)
        probabilities, ids = self._distribution(logits)
        return int(ids[self._random.choice(len(ids), p=probabilities)])

    def _penalise(self, logits: NDArray[np.float32], made: Sequence[int]) -> NDArray[np.float32]:
        options = self.options
        logits = logits.copy()
        seen = np.unique(np.asarray([*self._prompt_ids, *made], dtype=np.int64))
        values = logits[seen]
        penalty = options.repetition_penalty
        logits[seen] = np.where(values > 0, values / penalty, values * penalty)
        ids, counts = np.unique(np.asarray(made, dtype=np.int64), return_counts=True)
        logits[ids] -= options.presence_penalty + options.frequency_penalty * counts.astype(np.float32)
        return logits

    def _distribution(self, logits: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Probabilities, most likely first, of the tokens that are left, and their ids."""
        options = self.options
        ids: NDArray[np.int64] = np.arange(logits.size)
        if 0 < options.top_k < logits.size:
            ids = np.argpartition(logits, -options.top_k)[-options.top_k :]
        scaled = logits[ids].astype(np.float64) / max(options.temperature, LOWEST_TEMPERATURE)
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
