"""JSON and function calls, by OpenAI's own client and helpers."""

from __future__ import annotations

import json
from typing import Any, Literal

import jsonschema
import openai
import pytest
from pydantic import BaseModel

from .conftest import Ask

SUM = "What is two plus three?"
ASKED: Any = [{"role": "user", "content": SUM}]


class Answer(BaseModel):
    sum: Literal[4, 5]
    sure: bool
    words: Literal["two", "five", "six"]


class Inner(BaseModel):
    a: bool


class Nested(BaseModel):  # Pydantic puts the inner model under $defs
    b: Inner


PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Rome", "Paris"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather.", "parameters": PARAMETERS},
}
CLOCK: Any = {"type": "function", "function": {"name": "clock"}}


def test_the_clients_helper_parses_a_pydantic_model(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model="demo", messages=ASKED, response_format=Answer)
    assert isinstance(parsed.choices[0].message.parsed, Answer)
    with client.chat.completions.stream(model="demo", messages=ASKED, response_format=Answer) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == parsed.choices[0].message.parsed
    assert "content.delta" in kinds
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model="demo", messages=ASKED, response_format=Answer, max_tokens=3)


def test_responses_parse_too(client: openai.OpenAI) -> None:
    response = client.responses.parse(model="demo", input=SUM, text_format=Answer)
    assert isinstance(response.output_parsed, Answer)
    with client.responses.stream(model="demo", input=SUM, text_format=Answer) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_parsed == response.output_parsed
    drawn = client.responses.create(
        model="demo", input=SUM, text={"format": {"type": "json_object"}}, max_output_tokens=9
    )
    assert drawn.output_text.startswith("{") and drawn.status in ("completed", "incomplete")


def test_any_object_and_several_choices(ask: Ask) -> None:
    options: dict[str, Any] = {"n": 3, "temperature": 2.0, "seed": 7, "logprobs": True}
    schema = {"type": "json_schema", "json_schema": {"name": "weather", "schema": PARAMETERS}}
    choices = ask(SUM, response_format=schema, **options).choices
    for choice in choices:
        assert choice.finish_reason == "stop" and choice.logprobs.content
        jsonschema.validate(json.loads(choice.message.content), PARAMETERS)
    assert len({choice.message.content for choice in choices}) > 1
    cut = ask(SUM, response_format={"type": "json_object"}, max_tokens=5).choices[0]
    assert cut.message.content.startswith("{") and cut.finish_reason in ("stop", "length")


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_that_cannot_be_enforced_is_refused_by_name(ask: Ask, stream: bool) -> None:
    schema = {"type": "array", "items": {}, "uniqueItems": True}
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    with pytest.raises(openai.BadRequestError, match="uniqueItems") as refusal:
        ask(SUM, response_format=wanted, stream=stream)
    assert (refusal.value.param, refusal.value.code) == ("response_format", "invalid_json_schema")
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "not": {}}}}
    large = {**CLOCK, "function": {"name": "f", "parameters": {"properties": {"n": {"const": 2**60}}}}}
    for wrong, said in ((tool, '"not"'), (large, "2\\*\\*53")):
        with pytest.raises(openai.BadRequestError, match=said) as refusal:
            ask(SUM, tools=[wrong], tool_choice="required", stream=stream)
        assert (refusal.value.param, refusal.value.code) == ("tools", "invalid_json_schema")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_function_is_called_whole_and_streamed(client: openai.OpenAI, choice: Any) -> None:
    tools = [WEATHER] if choice == "required" else [CLOCK, WEATHER]
    options: Any = {"model": "demo", "messages": ASKED, "tools": tools, "tool_choice": choice}
    whole = client.chat.completions.create(**options).choices[0]
    assert whole.finish_reason == "tool_calls" and whole.message.content is None
    (call,) = whole.message.tool_calls or ()
    assert call.type == "function" and call.function.name == "weather" and call.id.startswith("call_")
    jsonschema.validate(json.loads(call.function.arguments), PARAMETERS)
    with client.chat.completions.stream(**options) as stream:
        events = list(stream)
        final = stream.get_final_completion().choices[0]
    (streamed,) = final.message.tool_calls or ()
    assert final.finish_reason == "tool_calls" and streamed.function.arguments == call.function.arguments
    deltas = [event for event in events if event.type == "tool_calls.function.arguments.delta"]
    assert len(deltas) > 1 and any(event.type == "tool_calls.function.arguments.done" for event in events)


def test_the_clients_helper_parses_the_arguments_of_a_pydantic_function(client: openai.OpenAI) -> None:
    tool = openai.pydantic_function_tool(Nested, name="nested")
    parsed = client.chat.completions.parse(model="demo", messages=ASKED, tools=[tool], tool_choice="required")
    (call,) = parsed.choices[0].message.tool_calls or ()
    assert isinstance(call.function.parsed_arguments, Nested)


def test_one_of_several_functions_is_chosen_by_the_model(ask: Ask) -> None:
    names: set[str] = set()
    for seed in range(8):
        answer = ask(SUM, tools=[WEATHER, CLOCK], tool_choice="required", temperature=2.0, seed=seed)
        (call,) = answer.choices[0].message.tool_calls
        names.add(call.function.name)
        schema = PARAMETERS if call.function.name == "weather" else {"type": "object", "maxProperties": 0}
        jsonschema.validate(json.loads(call.function.arguments), schema)
        if len(names) == 2:
            break
    assert names == {"weather", "clock"}


def test_a_call_that_is_cut_says_so(ask: Ask) -> None:
    options: dict[str, Any] = {"tools": [WEATHER], "tool_choice": "required"}
    answer = ask(SUM, **options)
    whole, needed = answer.choices[0].message.tool_calls[0].function.arguments, answer.usage.completion_tokens
    for tokens in (1, 4, needed // 2, needed - 4, needed - 2, needed - 1, needed):
        choice = ask(SUM, max_tokens=tokens, **options).choices[0]
        text = ""
        for chunk in ask(SUM, max_tokens=tokens, stream=True, **options):
            for call in chunk.choices[0].delta.tool_calls or ():
                text += call.function.arguments or ""
        called = choice.message.tool_calls
        assert text == (called[0].function.arguments if called else "")
        assert choice.finish_reason == ("tool_calls" if tokens == needed else "length")
        assert text == whole if tokens == needed else (whole + "}").startswith(text)


def test_what_a_function_gave_is_answered(ask: Ask) -> None:
    call = ask(SUM, tools=[WEATHER], tool_choice="required").choices[0].message
    turns = [
        *ASKED,
        call.to_dict(),
        {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "5"},
    ]
    message = ask([*turns, *ASKED], tools=[WEATHER], tool_choice="none").choices[0].message
    assert (message.content, message.tool_calls) == ("Two plus three is five.", None)
    assert ask(turns).usage.prompt_tokens > ask(SUM).usage.prompt_tokens
