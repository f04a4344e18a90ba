"""The shipped Talker, a frame at a time."""

from __future__ import annotations

import numpy as np

import muomni
from muomni.speech.pointer import Query


def test_a_phoneme_may_last_longer_than_the_frames_that_are_told_apart() -> None:
    talker = muomni.Omni.load(device="cpu", threads=1).talker
    text = talker.stage.text
    assert text is not None
    vector = np.ones(talker.stage.width, dtype=np.float32)
    last, beyond = (
        talker.start()(Query(None, vector, elapsed))
        for elapsed in (text.elapsed_frames - 1, text.elapsed_frames + 9)
    )
    assert np.array_equal(last[0], beyond[0]) and last[2] == beyond[2]
