"""A callback for speech runs in a thread of its own and delays nothing."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import muomni
from muomni.engine import playback as module
from muomni.engine.playback import Playback

QUESTION = "What is two plus three?"


def test_a_callback_that_plays_in_real_time_delays_neither_text_nor_reply(omni: muomni.Omni) -> None:
    """The last text came after 2.15 s and the reply after 4.8 s."""
    heard = threading.Event()
    played: list[np.ndarray] = []
    text: list[str] = []

    def play(samples: np.ndarray) -> None:
        assert heard.wait(30), "the reply waits for what is played"
        played.append(samples)

    reply = omni.generate(QUESTION, speech=True, on_audio=play, on_text=text.append)
    assert "".join(text) == reply.text and not played
    assert reply.speech is not None
    before = [thread for thread in threading.enumerate() if thread.name == "muomni playback"]
    heard.set()
    for thread in before:
        thread.join(30)
    assert np.array_equal(np.concatenate(played), reply.speech.samples)


def test_a_quick_callback_has_had_everything_on_return(omni: muomni.Omni) -> None:
    for _ in range(5):
        given: list[np.ndarray] = []
        reply = omni.generate(QUESTION, speech=True, on_audio=given.append)
        assert reply.speech is not None
        assert np.array_equal(np.concatenate(given), reply.speech.samples)


def test_what_waits_is_bounded_and_speech_goes_on_when_it_is_taken(
    omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING_SAMPLES", 1000)
    waiting: list[int] = []
    given: list[np.ndarray] = []
    put = Playback.put

    def counting(self: Playback, samples: np.ndarray) -> None:
        waiting.append(self._samples)
        put(self, samples)

    monkeypatch.setattr(Playback, "put", counting)
    reply = omni.generate(QUESTION, speech=True, on_audio=given.append)
    assert reply.speech is not None
    assert np.array_equal(np.concatenate(given), reply.speech.samples)
    assert max(waiting) < 1000


def test_what_a_callback_raises_ends_the_reply(omni: muomni.Omni) -> None:
    def broken(samples: np.ndarray) -> None:
        raise OSError("no loudspeaker")

    chat = omni.chat()
    with pytest.raises(OSError, match="no loudspeaker"):
        chat.say(QUESTION, speech=True, on_audio=broken)
    assert chat.turns == 0
    with pytest.raises(OSError, match="no loudspeaker"):
        omni.speak("Hello, this is a sentence. " * 5, on_audio=broken)


def test_nothing_to_say_calls_nobody(omni: muomni.Omni) -> None:
    given: list[np.ndarray] = []
    with pytest.raises(muomni.InputError):
        omni.speak("?!", on_audio=given.append)
    assert not given


def test_what_a_callback_raises_is_raised_once() -> None:
    def broken(samples: np.ndarray) -> None:
        raise RuntimeError("the device is gone")

    playback = Playback(broken)
    playback.put(np.zeros(1, np.float32))
    with pytest.raises(RuntimeError, match="the device is gone"):
        playback.finish()
    playback.finish()
