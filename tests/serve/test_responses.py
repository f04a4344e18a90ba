"""/v1/responses, by OpenAI's own client."""

from __future__ import annotations

from typing import Any

import openai
import pytest

import muomni

from .conftest import data_url

SUM = "What is two plus three?"


def test_a_response_is_whole(client: openai.OpenAI) -> None:
    response = client.responses.create(model="demo", input=SUM)
    assert (response.status, response.output_text) == ("completed", "Two plus three is five.")
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def test_the_events_of_a_stream_come_in_order(client: openai.OpenAI) -> None:
    with client.responses.stream(model="demo", input=SUM) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert deltas == final.output_text == "Two plus three is five."


def test_messages_pictures_and_instructions_are_read(client: openai.OpenAI) -> None:
    picture = {"type": "input_image", "image_url": data_url("shapes.png", "image/png"), "detail": "auto"}
    content = [{"type": "input_text", "text": "What do you see?"}, picture]
    seen = client.responses.create(model="demo", input=[{"role": "user", "content": content}])  # type: ignore[list-item]
    assert seen.usage is not None and seen.usage.input_tokens > 36
    text, question = "Your name is Bob. You speak with Ada.", "What is your name?"
    with muomni.Omni.load(device="cpu") as omni:
        read = omni.generate(muomni.Request(question, history=[(muomni.Request(text), "")]))
    named = client.responses.create(model="demo", instructions=text, input=question)
    assert named.output_text == read.text and "Bob" in read.text
    assert named.usage is not None and named.usage.input_tokens == read.usage.prompt_tokens
    turns: list[Any] = [
        {"role": "user", "content": "My name is Ada."},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Nice to meet you, Ada."}],
        },
        {"role": "user", "content": [{"type": "input_text", "text": "What is my name?"}]},
    ]
    assert "Ada" in client.responses.create(model="demo", input=turns).output_text


def test_one_that_was_cut_is_incomplete(client: openai.OpenAI) -> None:
    response = client.responses.create(model="demo", input=SUM, max_output_tokens=2)
    assert (response.status, response.output_text) == ("incomplete", "Two plus")
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


def test_old_turns_are_forgotten_only_where_that_is_asked_for(client: openai.OpenAI) -> None:
    turns: list[Any] = []
    for _ in range(60):
        turns += [
            {"role": "user", "content": SUM},
            {"role": "assistant", "content": "Two plus three is five."},
        ]
    turns.append({"role": "user", "content": SUM})
    with pytest.raises(openai.BadRequestError) as refusal:
        client.responses.create(model="demo", input=turns)
    assert refusal.value.code == "context_length_exceeded"
    alone, pair, response = (
        client.responses.create(model="demo", input=given, truncation="auto")
        for given in (turns[-1:], turns[-3:], turns)
    )
    assert alone.usage is not None and pair.usage is not None and response.usage is not None
    one_turn = pair.usage.input_tokens - alone.usage.input_tokens
    assert one_turn > 0 and (response.usage.input_tokens - alone.usage.input_tokens) % one_turn == 0
    assert 10 * one_turn < response.usage.input_tokens < 384  # positions of the demo's context
    assert response.status == "completed"


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": "5"}]}, "input.0"),
    ],
)
def test_what_is_not_done_is_refused_by_name(
    client: openai.OpenAI, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        client.responses.create(**{"model": "demo", "input": SUM, **options})
    assert refusal.value.param == param
