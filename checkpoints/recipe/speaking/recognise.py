"""An independent judge of speech: pocketsphinx, which shares nothing with the teacher or the model."""

from __future__ import annotations

import tempfile
from collections import Counter

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Decoder

from .sentences import automaton, vocabulary

SAMPLE_RATE_HZ = 16_000
SILENCE_S = 0.3
LEVEL_RMS = 0.08


class Recogniser:
    """Words of an utterance of the closed world.

    Args:
        strict: allow the sentences of the grammar only; otherwise any string of the world's words, which is much
            harder and shows differences that the grammar hides.
    """

    def __init__(self, strict: bool = True) -> None:
        states, arcs = automaton() if strict else (2, word_loop())
        with tempfile.NamedTemporaryFile("w", suffix=".fsg") as file:
            file.write(fsg(states, arcs))
            file.flush()
            self._decoder = Decoder(fsg=file.name, samprate=SAMPLE_RATE_HZ, loglevel="FATAL")

    def words(self, samples: NDArray[np.float32]) -> list[str]:
        """Samples at 16 kHz, any level, to words."""
        level = float(np.sqrt(np.mean(np.square(samples)))) or 1.0
        quiet = np.zeros(int(SILENCE_S * SAMPLE_RATE_HZ), np.float32)
        sound = np.concatenate((quiet, samples * (LEVEL_RMS / level), quiet))
        # A trace of noise: exact zeros make the recogniser's features degenerate.
        sound = sound + np.random.default_rng(0).normal(0, 1e-4, len(sound))
        data = (np.clip(sound, -1, 1) * 32767).astype(np.int16).tobytes()
        self._decoder.start_utt()
        self._decoder.process_raw(data, full_utt=True)
        self._decoder.end_utt()
        result = self._decoder.hyp()
        return result.hypstr.split() if result else []


def word_loop() -> list[tuple[int, int, str]]:
    """Any words of the world: from the start, again and again, to the end."""
    return [arc for word in vocabulary() for arc in ((0, 0, word), (0, 1, word))]


def fsg(states: int, arcs: list[tuple[int, int, str]]) -> str:
    """The automaton in Sphinx's finite state grammar format; all arcs out of a state are equally likely."""
    ways = Counter(start for start, _, _ in arcs)
    lines = ["FSG_BEGIN world", f"NUM_STATES {states}", "START_STATE 0", "FINAL_STATE 1"]
    lines += [f"TRANSITION {start} {end} {1 / ways[start]:.6f} {word}" for start, end, word in arcs]
    return "\n".join((*lines, "FSG_END", ""))
