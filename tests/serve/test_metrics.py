"""What ``/metrics`` says of speech that came too late, and of sessions."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from tests.serve.conftest import Running
from tests.serve.test_security import figures
from websockets.sync.client import connect

from muomni import SpeechDelta

UNDERRUNS = "muomni:audio_underrun_total"
LIVE = 'handler="/v1/live/sessions"'
SPEECH = {
    "model": "demo",
    "voice": "a",
    "input": "Seven green cups stand on the table.",
    "response_format": "pcm",
}


def test_speech_that_comes_in_time_is_no_underrun(running: Running) -> None:
    before = figures(running)
    running.client().audio.speech.create(**SPEECH)  # type: ignore[arg-type]
    running.idle_within(5)
    after = figures(running)
    assert after["muomni:audio_rtf_count"] == before["muomni:audio_rtf_count"] + 1
    assert after[UNDERRUNS] == before[UNDERRUNS]


def test_speech_that_comes_later_than_it_would_be_played_is_an_underrun(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = figures(running)
    engine = running.state.engine._engine
    step, made_s = engine.step, [0.0]

    def late() -> Any:
        """The second piece of speech waits until the first has been played."""
        if 0.0 < made_s[0] < 60.0:
            time.sleep(made_s[0] + 0.2)
            made_s[0] = 60.0
        events = step()
        made_s[0] += sum(len(e.samples) / e.sample_rate for _, e in events if isinstance(e, SpeechDelta))
        return events

    monkeypatch.setattr(engine, "step", late)
    running.client().audio.speech.create(**SPEECH)  # type: ignore[arg-type]
    running.idle_within(5)
    after = figures(running)
    assert made_s[0] > 60.0
    assert after[UNDERRUNS] == before[UNDERRUNS] + 1
    assert after["muomni:audio_rtf_count"] == before["muomni:audio_rtf_count"] + 1


def test_a_live_session_is_counted_while_it_lasts(running: Running) -> None:
    before = figures(running)
    start = {"model": "muomni", "audio": {"format": {"type": "audio/pcm", "rate": 16_000}}}
    silence = base64.b64encode(bytes(1280)).decode()
    with connect(f"ws://127.0.0.1:{running.port}/v1/live/sessions") as session:
        session.send(json.dumps({"type": "session.start", "session": start}))
        assert json.loads(session.recv())["type"] == "session.started"
        session.send(json.dumps({"type": "session.input_audio.append", "audio": silence}))
        session.send(json.dumps({"type": "session.input_audio.mute"}))
        assert json.loads(session.recv())["type"] == "session.input_audio.muted"
        during = figures(running)
        assert during[f"muomni:num_websocket_connections{{{LIVE}}}"] == 1
    until = time.perf_counter() + 5
    while (after := figures(running))[f"muomni:num_websocket_connections{{{LIVE}}}"]:
        assert time.perf_counter() < until

    def gained(direction: str) -> float:
        name = f'muomni:websocket_frames_total{{direction="{direction}",{LIVE}}}'
        return after[name] - before.get(name, 0.0)

    assert gained("in") == 3 and gained("out") == 2
