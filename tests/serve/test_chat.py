"""/v1/chat/completions, by OpenAI's own client."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import openai
import pytest

import muomni
from muomni.media.audio import load_audio

from .conftest import SAMPLES, Ask, Running, data_url, encoded
from .running import as_spoken

SUM = "What is two plus three?"
SPOKEN = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}


@pytest.fixture(scope="module")
def omni() -> muomni.Omni:
    return muomni.Omni.load()


def test_a_question_is_answered_with_usage(ask: Ask, omni: muomni.Omni) -> None:
    completion = ask(SUM)
    (choice,) = completion.choices
    reply = omni.generate(SUM)
    assert choice.message.content == reply.text
    assert choice.finish_reason == "stop"
    assert (completion.model, completion.object) == ("demo", "chat.completion")
    usage = completion.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (reply.prompt_tokens, reply.completion_tokens)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens <= usage.prompt_tokens


def test_a_stream_joins_to_the_whole_answer(ask: Ask) -> None:
    chunks = list(ask(SUM, stream=True, stream_options={"include_usage": True}))
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == ask(SUM).choices[0].message.content
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 1
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert all(chunk.usage is None and chunk.choices for chunk in ask(SUM, stream=True))


def test_several_choices_come_whole_and_streamed(ask: Ask) -> None:
    options: dict[str, Any] = {"n": 3, "temperature": 2.0, "seed": 5, "max_tokens": 12}
    whole = [choice.message.content for choice in ask("Hello!", **options).choices]
    assert len(set(whole)) > 1
    texts = ["", "", ""]
    for chunk in ask("Hello!", stream=True, **options):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == whole  # the same seeds
    assert ask("Hello!", **{**options, "n": 1}).choices[0].message.content == whole[0]


def test_length_and_stop_strings_end_a_reply(ask: Ask) -> None:
    short = ask(SUM, max_completion_tokens=2).choices[0]
    assert (short.finish_reason, short.message.content) == ("length", "Two plus")
    stopped = ask(SUM, stop=["three", "five"]).choices[0]
    assert (stopped.finish_reason, stopped.message.content.strip()) == ("stop", "Two plus")
    assert ask(SUM, stop=" is").choices[0].message.content == "Two plus three"


def test_logprobs_have_their_alternatives_and_bytes(ask: Ask) -> None:
    choice = ask(SUM, logprobs=True, top_logprobs=3).choices[0]
    content = choice.logprobs.content
    assert b"".join(bytes(token.bytes) for token in content).decode().strip() == choice.message.content
    for token in content:
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].logprob == token.logprob <= 0  # greedy
    streamed = [
        token.token
        for chunk in ask(SUM, logprobs=True, stream=True)
        if chunk.choices[0].logprobs
        for token in chunk.choices[0].logprobs.content
    ]
    assert streamed == [token.token for token in content]


def test_pictures_recordings_and_films_are_taken(ask: Ask, omni: muomni.Omni) -> None:
    picture = {
        "type": "image_url",
        "image_url": {"url": data_url("shapes.png", "image/png"), "detail": "low"},
    }
    film = {"type": "video_url", "video_url": {"url": data_url("film.gif", "image/gif")}}
    recording = {"type": "input_audio", "input_audio": {"data": encoded("question.wav"), "format": "wav"}}
    text = {"type": "text", "text": "What do you see?"}

    seen = ask([text, picture])
    assert (
        seen.choices[0].message.content
        == omni.generate("What do you see?", images=[SAMPLES / "shapes.png"]).text
    )
    assert seen.usage.prompt_tokens_details.to_dict()["image_tokens"] == 36
    heard = ask([recording])
    assert heard.choices[0].message.content == omni.generate(audio=SAMPLES / "question.wav").text
    assert heard.usage.prompt_tokens_details.audio_tokens > 10
    watched = ask([film, {"type": "text", "text": "What happens?"}])
    assert (
        watched.choices[0].message.content == omni.generate("What happens?", video=SAMPLES / "film.gif").text
    )
    data = {"type": "input_video", "input_video": {"data": encoded("film.gif"), "format": "gif"}}
    assert (
        ask([data, {"type": "text", "text": "What happens?"}]).choices[0].message
        == watched.choices[0].message
    )


def test_earlier_turns_are_remembered(ask: Ask, omni: muomni.Omni) -> None:
    turns = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": ask("My name is Ada.").choices[0].message.content},
        {"role": "user", "content": "What is my name?"},
    ]
    answer = ask(turns)
    assert "Ada" in answer.choices[0].message.content
    assert "Ada" not in ask("What is my name?").choices[0].message.content


def test_a_system_message_is_read(ask: Ask, omni: muomni.Omni) -> None:
    """As a turn that was not replied to: the same positions and tokens as that turn in the library."""
    text, question = "Your name is Bob. You speak with Ada.", "What is your name?"
    read = omni.generate(muomni.Request(question, history=[(muomni.Request(text), "")]))
    alone = omni.generate(question)
    for role in ("system", "developer"):
        answer = ask([{"role": role, "content": text}, {"role": "user", "content": question}])
        assert answer.choices[0].message.content == read.text and "Bob" in read.text
        assert answer.usage.prompt_tokens == read.usage.prompt_tokens > alone.usage.prompt_tokens + 10


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac", "opus", "aac", "pcm16"])
def test_a_whole_reply_is_spoken(ask: Ask, kind: str, omni: muomni.Omni) -> None:
    if kind == "aac":
        pytest.importorskip("av")
    answer = ask(SUM, modalities=["text", "audio"], audio={"voice": "alloy", "format": kind})
    message = answer.choices[0].message
    assert message.content is None
    assert message.audio.transcript == omni.generate(SUM).text
    spoken = as_spoken(omni, muomni.Request(SUM, speech=muomni.SpeechOptions())).speech
    assert spoken is not None
    data = base64.b64decode(message.audio.data, validate=True)
    if kind == "pcm16":
        samples, rate = np.frombuffer(data, "<i2") / 32768, 24_000
        assert len(samples) / rate == pytest.approx(spoken.seconds, abs=0.01)
    elif kind == "wav":
        np.testing.assert_allclose(load_audio(data, spoken.sample_rate), spoken.samples, atol=1e-4)
    elif kind != "aac":
        assert len(load_audio(data, 16_000)) / 16_000 == pytest.approx(spoken.seconds, abs=0.15)
    assert answer.usage.completion_tokens_details.audio_tokens == len(spoken.codes)


def test_a_streamed_voice_joins_in_the_clients_own_helper(client: openai.OpenAI, omni: muomni.Omni) -> None:
    with client.chat.completions.stream(
        model="demo", messages=[{"role": "user", "content": SUM}], **SPOKEN
    ) as stream:
        chunks = [event.chunk for event in stream if event.type == "chunk"]
        audio = stream.get_final_completion().choices[0].message.audio
    assert audio is not None and audio.id.startswith("audio_") and len(audio.id) < 60
    assert audio.transcript == omni.generate(SUM).text
    assert audio.expires_at < 2**33  # numbers are added by the helper
    samples = np.frombuffer(base64.b64decode(audio.data, validate=True), "<i2")
    spoken = as_spoken(omni, muomni.Request(SUM, speech=muomni.SpeechOptions())).speech
    assert spoken is not None
    assert len(samples) / 24_000 == pytest.approx(spoken.seconds, abs=0.01)
    deltas = [chunk.choices[0].delta.to_dict().get("audio", {}) for chunk in chunks]
    data = [delta["data"] for delta in deltas if "data" in delta]
    assert len(data) > 1 and all(len(base64.b64decode(one)) % 6 == 0 for one in data[:-1])


def test_a_spoken_reply_is_named_by_its_id_in_the_next_turn(ask: Ask) -> None:
    first = ask("My name is Ada.", modalities=["text", "audio"]).choices[0].message
    turns = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "audio": {"id": first.audio.id}},
        {"role": "user", "content": "What is my name?"},
    ]
    said = [*turns[:1], {"role": "assistant", "content": first.audio.transcript}, *turns[2:]]
    assert ask(turns).choices[0].message.content == ask(said).choices[0].message.content
    turns[1] = {"role": "assistant", "audio": {"id": "audio_unknown"}}
    with pytest.raises(openai.BadRequestError, match="not known here") as refusal:
        ask(turns)
    assert refusal.value.param == "messages.1.audio.id"


def test_unknown_parameters_are_ignored(ask: Ask) -> None:
    extra = {"made_up": {"deep": [1, 2]}, "keep_alive": 5}
    answer = ask(SUM, user="me", store=False, metadata={"a": "b"}, reasoning_effort="low", extra_body=extra)
    assert answer.choices[0].message.content


TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [TOOL]}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "required", "stop": "}"}, "stop"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "time"}}}, "tool_choice"),
        ({"functions": [TOOL["function"]]}, "functions"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}},
            "response_format.json_schema.name",
        ),
        ({"logit_bias": {"5": 10}}, "logit_bias"),
        (
            {"stream": True, "modalities": ["audio", "text"], "audio": {"voice": "a", "format": "mp3"}},
            "audio.format",
        ),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"video_frames": 99}, "video_frames"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "Hello!"}]}, "messages.0"),
        ({"messages": [{"role": "system", "content": "Be brief."}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "5", "tool_call_id": "x"}]}, "messages.0"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
                ]
            },
            None,
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/etc/passwd"}}]}
                ]
            },
            "messages.0.image_url.url",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "http://localhost/"}}],
                    }
                ]
            },
            "messages.0.image_url.url",
        ),
    ],
)
def test_what_is_not_done_is_refused_by_name(
    client: openai.OpenAI, options: dict[str, Any], param: str | None
) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": SUM}], **options}
    with pytest.raises(openai.BadRequestError) as refusal:
        client.post("/chat/completions", body=body, cast_to=object)
    assert refusal.value.type == "invalid_request_error"
    if param is not None:
        assert refusal.value.param == param


def test_an_error_has_its_status_for_a_stream_too(ask: Ask) -> None:
    broken = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="not an image"):
            ask([broken], stream=stream)
        with pytest.raises(openai.BadRequestError, match="positions") as refusal:
            ask("word " * 2000, stream=stream)
        assert refusal.value.code == "context_length_exceeded"


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="'demo'"):
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": SUM}])
    assert [model.id for model in client.models.list()] == ["demo"]
    assert client.models.retrieve("demo").id == "demo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_too_many_media_and_two_recordings_are_refused(ask: Ask, running: Running) -> None:
    picture = {"type": "image_url", "image_url": {"url": data_url("shapes.png", "image/png")}}
    with pytest.raises(openai.BadRequestError, match="too many media"):
        ask([picture] * (running.state.settings.limits.media + 1))
    recording = {"type": "input_audio", "input_audio": {"data": encoded("question.wav"), "format": "wav"}}
    with pytest.raises(openai.BadRequestError, match="takes one recording, got 2"):
        ask([recording, recording])
