"""What ``response_format``, ``text.format`` and ``tools`` bind a reply to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from muomni.errors import InputError
from muomni.models.grammar import Grammar
from muomni.serve.errors import ApiError
from muomni.serve.state import ServerState

from .objects import new_id
from .types import ChatRequest, Function, FunctionChoice, JsonSchema

NO_PARAMETERS = {"type": "object", "properties": {}, "additionalProperties": False}
CALLING = "Call one of these functions. Reply with JSON alone, its name and its arguments."


def json_grammar(kind: str, schema: JsonSchema | None, param: str) -> Grammar | None:
    """The grammar of a format; None where it is plain text.

    Raises:
        ApiError: another kind, or one without its schema.
    """
    if kind == "text":
        return None
    if kind == "json_object":
        return Grammar.json_object()
    if kind != "json_schema":
        raise ApiError(
            f"{param}: expected text, json_object or json_schema, got {kind[:40]!r}",
            param=param,
            code="invalid_value",
        )
    if schema is None or schema.schema_ is None:
        raise ApiError(f"{param}: json_schema needs a schema", param=param, code="missing_required_parameter")
    try:
        return Grammar.json_schema(schema.schema_)
    except InputError as error:
        raise _refusal(error, param) from error


async def checked(grammar: Grammar | None, param: str, state: ServerState) -> Grammar | None:
    """The grammar, ready to be enforced.

    Raises:
        ApiError: it cannot be; the message names what it has that is not done.
    """
    if grammar is not None:
        try:
            await asyncio.to_thread(state.engine.models.grammars().compile, grammar)
        except InputError as error:
            raise _refusal(error, param) from error
    return grammar


def _refusal(error: InputError, param: str) -> ApiError:
    message = str(error).removeprefix("grammar: ")
    return ApiError(f"{param}: {message}", param=param, code="invalid_json_schema")


@dataclass(frozen=True)
class Calls:
    """The functions of which a reply must call one.

    A reply is ``{"name": "…", "arguments": …}``, with exactly these spaces.
    """

    functions: Sequence[Function]

    @property
    def grammar(self) -> Grammar:
        """What binds a reply to a call.

        Raises:
            ApiError: parameters that cannot be enforced.
        """
        rules = []
        for number, function in enumerate(self.functions):
            try:
                arguments = Grammar.json_schema(function.parameters or NO_PARAMETERS).source
            except InputError as error:
                raise _refusal(error, "tools") from error
            rules.append(f'call{number}: {json.dumps(_head(function.name))} arguments{number} "}}"')
            rules.append(f"arguments{number}: %json {arguments}")
        start = " | ".join(f"call{number}" for number in range(len(self.functions)))
        return Grammar.lark("\n".join([f"start: {start}", *rules]))

    @property
    def instructions(self) -> str:
        """What the model is told of them, as a system message."""
        told = [
            function.model_dump(include={"name", "description", "parameters"}, exclude_none=True)
            for function in self.functions
        ]
        return "\n".join([CALLING, *map(json.dumps, told)])

    def name_in(self, text: str) -> str | None:
        """The function that a beginning of a reply calls; None before that is known."""
        return next((f.name for f in self.functions if text.startswith(_head(f.name))), None)


class Call:
    """One call, from the text that the model writes."""

    def __init__(self, calls: Calls) -> None:
        self._calls, self._id = calls, new_id("call_")
        self._text, self._sent = "", 0
        self.name: str | None = None

    def push(self, text: str) -> dict[str, Any] | None:
        """The next delta of ``tool_calls``; None where nothing new is known.

        A bracket at the end is held back: the last one is none of the arguments'.
        """
        self._text += text
        begins = self.name is None
        if self.name is None:
            self.name = self._calls.name_in(self._text)
            if self.name is None:
                return None
            self._sent = len(_head(self.name))
        arguments = self._text[self._sent :].removesuffix("}")
        self._sent += len(arguments)
        if begins:
            function = {"name": self.name, "arguments": arguments}
            return {"index": 0, "id": self._id, "type": "function", "function": function}
        return {"index": 0, "function": {"arguments": arguments}} if arguments else None

    def rest(self) -> dict[str, Any] | None:
        """What was held back of a call that was cut."""
        arguments = "" if self.name is None else self._text[self._sent :]
        return {"index": 0, "function": {"arguments": arguments}} if arguments else None

    def whole(self, text: str, cut: bool) -> dict[str, Any] | None:
        """All of it at once; None where it was cut before its name."""
        made = self.push(text)
        if made is not None:
            del made["index"]
            if cut and (rest := self.rest()):
                made["function"]["arguments"] += rest["function"]["arguments"]
        return made


def _head(name: str) -> str:
    return f'{{"name": "{name}", "arguments": '


def calls_of(body: ChatRequest) -> Calls | None:
    """The functions of which one must be called; None where the reply is text.

    Raises:
        ApiError: a choice that cannot be enforced.
    """
    choice = body.tool_choice
    if not body.tools or choice == "none":
        if not body.tools and choice not in (None, "none", "auto"):
            raise ApiError("tool_choice: expected tools beside it", param="tool_choice", code="invalid_value")
        return None
    functions = [tool.function for tool in body.tools]
    if isinstance(choice, FunctionChoice):
        functions = [one for one in functions if one.name == choice.function.name]
        if not functions:
            name = choice.function.name
            raise ApiError(
                f"tool_choice: no tool is named {name!r}", param="tool_choice", code="invalid_value"
            )
    elif choice != "required":
        raise ApiError(
            "tool_choice: the model has not learnt when to call a function, so 'auto' is not supported; send "
            "'required', a named function, or 'none'",
            param="tool_choice",
            code="unsupported_parameter",
        )
    for name, given in (
        ("stop", body.stop),
        ("response_format", body.response_format),
        ("logprobs", body.logprobs),
    ):
        if given:
            raise ApiError(
                f"{name}: not supported for a function call; leave it out",
                param=name,
                code="unsupported_parameter",
            )
    if "audio" in (body.modalities or ()):
        raise ApiError(
            "modalities: a function call is not spoken", param="modalities", code="unsupported_parameter"
        )
    return Calls(functions)
