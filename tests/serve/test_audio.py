"""/v1/audio/speech and /v1/audio/transcriptions, by OpenAI's own client."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import openai
import pytest
import soundfile

import muomni
from muomni.media.audio import load_audio

from .conftest import SAMPLES, Running
from .running import last_reply

SENTENCE = "Seven green cups stand on the table."


@pytest.fixture(scope="module")
def spoken() -> muomni.Speech:
    with muomni.Omni.load() as omni:
        engine = omni.engine(2, real_time=True)  # as the server's
        engine.say(SENTENCE, muomni.SpeechOptions())
        reply = last_reply(engine)
    assert reply.speech is not None
    return reply.speech


@pytest.mark.parametrize("kind", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_a_text_is_spoken_in_every_format(client: openai.OpenAI, spoken: muomni.Speech, kind: Any) -> None:
    if kind == "aac":
        pytest.importorskip("av")
    speech = client.audio.speech.create(model="demo", voice="alloy", input=SENTENCE, response_format=kind)
    data = speech.read()
    if kind == "pcm":
        assert speech.response.headers["content-type"] == "audio/pcm"
        assert len(data) / 48_000 == pytest.approx(spoken.seconds, abs=0.01)
        return
    if kind == "aac":
        from muomni.serve.openai.recording import load_recording

        samples = load_recording(data, 16_000)
    else:
        samples = load_audio(data, 16_000)
    assert len(samples) / 16_000 == pytest.approx(spoken.seconds, abs=0.2)
    # Encoders delay the sound a little; where it fits best, it is the same.
    found = np.correlate(samples[: len(spoken.samples)], spoken.samples, "full").max()
    assert found > 0.9 * (spoken.samples**2).sum()


def test_mp3_is_the_default_and_comes_in_pieces(client: openai.OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="demo", voice="alloy", input=SENTENCE * 4
    ) as response:
        assert response.headers["content-type"] == "audio/mpeg"
        pieces = list(response.iter_bytes())
    assert len(pieces) > 3
    soundfile.read(io.BytesIO(b"".join(pieces)))


def test_the_events_of_a_spoken_text_join_to_its_file(client: openai.OpenAI, spoken: muomni.Speech) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="demo", voice="alloy", input=SENTENCE, stream_format="sse", response_format="pcm"
    ) as response:
        import json

        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    assert [event["type"] for event in events[:-1]] == ["speech.audio.delta"] * (len(events) - 1)
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["output_tokens"] == len(spoken.codes)
    data = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert len(data) / 48_000 == pytest.approx(spoken.seconds, abs=0.01)


def test_speed_changes_the_length(client: openai.OpenAI, spoken: muomni.Speech) -> None:
    fast = client.audio.speech.create(
        model="demo", voice="a", input=SENTENCE, response_format="wav", speed=2.0
    )
    assert len(load_audio(fast.read(), 16_000)) / 16_000 == pytest.approx(spoken.seconds / 2, rel=0.1)


@pytest.mark.parametrize(
    "options",
    [{"speed": 4.0}, {"input": "…!"}, {"input": ""}, {"input": "a" * 5000}, {"response_format": "midi"}],
)
def test_what_cannot_be_spoken_is_refused(client: openai.OpenAI, options: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError):
        client.audio.speech.create(**{"model": "demo", "voice": "alloy", "input": SENTENCE, **options})


def sentences(count: int, pause_s: float = 1.0) -> bytes:
    """Two recordings in turn, with pauses, as a WAV file."""
    two = [load_audio(SAMPLES / name, 16_000) for name in ("question.wav", "days.wav")]
    pause = np.zeros(int(16_000 * pause_s), np.float32)
    parts = [part for index in range(count) for part in (two[index % 2], pause)]
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(parts), 16_000, format="WAV")
    return file.getvalue()


QUESTION, DAYS = "what do you see", "what day comes after monday"


def test_a_long_recording_is_cut_at_its_pauses_and_joined(client: openai.OpenAI) -> None:
    data = sentences(12)
    whole = client.audio.transcriptions.create(
        model="demo", file=("a.wav", data), response_format="verbose_json"
    )
    assert whole.segments is not None
    assert [segment.text for segment in whole.segments] == [QUESTION, DAYS] * 6
    assert whole.text == " ".join([QUESTION, DAYS] * 6)
    times = [time for segment in whole.segments for time in (segment.start, segment.end)]
    assert times == sorted(times) and times[-1] <= whole.duration
    one = client.audio.transcriptions.create(model="demo", file=("a.wav", data))
    assert one.text == whole.text
    assert one.usage is not None and one.usage.type == "tokens" and one.usage.output_tokens > 12


def test_transcripts_have_their_formats(client: openai.OpenAI) -> None:
    def transcript(kind: Any) -> str:
        made = client.audio.transcriptions.create(
            model="demo", file=("a.wav", sentences(2)), response_format=kind
        )
        return str(made)

    assert transcript("text").strip() == f"{QUESTION} {DAYS}"
    srt = transcript("srt").split("\n")
    assert srt[0] == "1" and srt[2] == QUESTION and srt[6] == DAYS
    assert " --> " in srt[1] and "," in srt[1]
    assert transcript("vtt").startswith("WEBVTT\n\n00:00:")


def test_a_streamed_transcript_joins_to_the_whole(client: openai.OpenAI) -> None:
    events = list(client.audio.transcriptions.create(model="demo", file=("a.wav", sentences(5)), stream=True))
    deltas = "".join(event.delta for event in events if event.type == "transcript.text.delta")
    assert events[-1].type == "transcript.text.done"
    assert deltas == events[-1].text == " ".join([QUESTION, DAYS, QUESTION, DAYS, QUESTION])


def test_nothing_is_heard_in_silence_and_noise(client: openai.OpenAI) -> None:
    for samples in (np.zeros(48_000), 0.05 * np.random.default_rng(1).standard_normal(48_000)):
        file = io.BytesIO()
        soundfile.write(file, samples, 16_000, format="WAV")
        assert client.audio.transcriptions.create(model="demo", file=("a.wav", file.getvalue())).text == ""


def test_what_browsers_record_is_read(client: openai.OpenAI) -> None:
    av = pytest.importorskip("av")
    samples = load_audio(SAMPLES / "question.wav", 48_000)
    for container, codec in (("webm", "libopus"), ("mp4", "aac")):
        file = io.BytesIO()
        with av.open(file, "w", format=container) as output:
            stream = output.add_stream(codec, rate=48_000, layout="mono")
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate = 48_000
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        assert client.audio.transcriptions.create(model="demo", file=("a", file.getvalue())).text == QUESTION


@pytest.mark.parametrize(
    ("file", "options"),
    [
        (b"hello", {}),
        (b"", {}),
        (b"\x1aE\xdf\xa3" + bytes(100), {}),
        (None, {"timestamp_granularities": ["word"], "response_format": "verbose_json"}),
        (None, {"temperature": 7}),
        (None, {"stream": True, "response_format": "srt"}),
    ],
)
def test_what_cannot_be_transcribed_is_refused(
    client: openai.OpenAI, running: Running, file: bytes | None, options: dict[str, Any]
) -> None:
    data = sentences(1) if file is None else file
    with pytest.raises(openai.BadRequestError):
        client.audio.transcriptions.create(model="demo", file=("a.wav", data), **options)
