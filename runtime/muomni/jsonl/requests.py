"""Requests as JSON Lines: each an object with the arguments of :meth:`muomni.Omni.generate`.

``id`` names a request, by default the number of its line. Files are relative to the folder of the requests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from muomni.errors import InputError
from muomni.requests import Request, as_request
from muomni.urls import url_in

KINDS: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "images": (list,),
    "audio": (str,),
    "video": (str,),
    "ocr": (bool,),
    "prompt": (str,),
    "video_frames": (int,),
    "max_new_tokens": (int,),
    "temperature": (int, float),
    "top_k": (int,),
    "top_p": (int, float),
    "repetition_penalty": (int, float),
    "presence_penalty": (int, float),
    "frequency_penalty": (int, float),
    "seed": (int,),
    "stop": (list, str),
    "truncate": (bool,),
    "logprobs": (int,),
}
"""What a request may say, and the JSON types of it."""

FILES = ("images", "audio", "video")
DIGEST_LETTERS = 32


@dataclass(frozen=True)
class Line:
    """One line of the requests.

    Attributes:
        id: what names it in the replies; any JSON.
        wanted: what is asked, or what is wrong with it.
        source: the line itself.
    """

    id: Any
    wanted: Request | InputError
    source: str

    @property
    def key(self) -> str:
        """The id as text: equal for equal ids alone."""
        return key_of(self.id)

    def digest(self, model: str) -> str:
        """A hash of all that decides the reply: what is asked, the content of its files, and the model."""
        said: Any = self.source
        if isinstance(self.wanted, Request):
            said = {}
            for part in (self.wanted, self.wanted.sampling):
                for entry in fields(part):
                    value = getattr(part, entry.name)
                    if entry.name == "sampling" or value == _default(entry):
                        continue
                    if is_dataclass(value) and not isinstance(value, type):  # of speech
                        value = asdict(value)
                    said[entry.name] = _content(value) if entry.name in FILES else value
        text = json.dumps([model, said], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LETTERS]


def key_of(name: Any) -> str:
    return json.dumps(name, sort_keys=True)


def read_requests(data: bytes, name: str, folder: Path, defaults: Mapping[str, Any]) -> list[Line]:
    """Parse requests; what is wrong with a line is kept beside its id.

    Args:
        name: of the file, for messages.
        folder: where its files are.
        defaults: options of the command line, for what a line does not say.

    Raises:
        InputError: it is not UTF-8, or two lines have the same id.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: cannot be read as UTF-8 text ({error}); save it as UTF-8") from error
    lines, seen = [], dict[str, int]()
    for number, source in enumerate(text.split("\n"), start=1):  # JSON allows U+2028 and its like in a string
        if not source.strip(" \t\r"):
            continue
        line = _line(source, number, folder, defaults)
        if line.key in seen:
            raise InputError(
                f"{name}: line {number}: the id {line.key} stands in an earlier line as well, line {seen[line.key]}"
            )
        seen[line.key] = number
        lines.append(line)
    return lines


def _line(source: str, number: int, folder: Path, defaults: Mapping[str, Any]) -> Line:
    name: Any = number
    try:
        value = json.loads(source, object_pairs_hook=_object, parse_constant=_no_constant)
        if not isinstance(value, dict):
            raise InputError(f"expected a JSON object, got {type(value).__name__}")
        given = value.pop("id", None)
        name = number if given is None else given
        return Line(name, parse_request(value, defaults, folder), source)
    except InputError as error:
        return Line(name, error, source)
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or a number of 5,000 digits
        return Line(name, InputError(f"not JSON ({error})"), source)


def parse_request(
    value: Mapping[str, Any],
    defaults: Mapping[str, Any],
    folder: Path,
    media: Mapping[str, Any] = MappingProxyType({}),
) -> Request:
    """A request from its JSON object.

    Args:
        media: images, audio and video that are no paths, which JSON cannot hold.

    Raises:
        InputError: an unknown key, a value of another type or out of range.
    """
    given = {key: _typed(key, item) for key, item in value.items() if item is not None or key not in KINDS}
    for key in FILES:
        if key in given:
            given[key] = _located(given[key], folder)
    text = given.pop("text", None)
    return as_request(text, **{**defaults, **given, **media})


def _typed(key: str, item: Any) -> Any:
    """The value, if it is of the key's JSON type; numbers that may have a fraction become floats."""
    kinds: tuple[Any, ...] | None = KINDS.get(key)
    if kinds is None:
        raise InputError(f"unknown key {key!r}; expected {', '.join(('id', *KINDS))}")
    if not isinstance(item, kinds) or (isinstance(item, bool) and bool not in kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise InputError(f"{key}: expected {expected}, got {type(item).__name__}")
    for text in item if isinstance(item, list) else [item]:
        if isinstance(item, list) and not isinstance(text, str):
            raise InputError(f"{key}: expected a list of strings")
        if isinstance(text, str) and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise InputError(
                f"{key}: holds half of a surrogate pair, which is no character; send whole characters"
            )
    if float in kinds:
        try:
            return float(item)
        except OverflowError as error:
            raise InputError(f"{key}: {str(item)[:20]}… is too large") from error
    return item


def _located(named: str | list[str], folder: Path) -> Any:
    """Paths relative to the folder of the requests; a URL stays one, for the error that names it."""
    if isinstance(named, list):
        return [_located(name, folder) for name in named]
    return named if url_in(named) else folder / named


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise InputError(f"the key {key!r} stands in it twice")
        value[key] = item
    return value


def _no_constant(name: str) -> Any:
    raise InputError(f"not JSON ({name} is no JSON number)")


def _default(entry: Field[Any]) -> Any:
    if entry.default_factory is not MISSING:
        return entry.default_factory()
    return entry.default


def _content(source: Any) -> Any:
    """What stands for media in a digest: the content of a file, so that a changed picture is another question."""
    if isinstance(source, (list, tuple)):
        return [_content(one) for one in source]
    try:
        if not Path(source).is_file():  # a pipe can be read but once, and a device never ends
            return str(source)
        with Path(source).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError):
        return str(source)
