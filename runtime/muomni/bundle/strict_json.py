"""JSON <-> frozen dataclasses, refusing everything that is not exactly as declared.

A manifest written by another version, or by hand, must fail where it is read and say which key is at fault,
not later with a strange number. Supported field types: ``int`` (64 bits), ``float`` (finite), ``bool``, ``str``,
``tuple[X, ...]``, ``dict[str, X]``, ``Literal["a", …]``, dataclasses of these, ``X | None``, a union of
dataclasses that a ``Literal`` field ``kind`` tells apart, and ``Annotated[X, Range(…)]`` or ``Annotated[X,
Matches(…)]``. What must hold between fields stands in a method ``check`` of their dataclass, see :func:`require`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from muomni.errors import ManifestError

T = TypeVar("T")
Reader = Callable[[Any, bool], Any]
"""Parsed JSON, and whether unknown keys are skipped -> the value."""

TAG = "kind"
INT64 = 2**63


class Range:
    """Numbers from ``low`` to ``high``, both included."""

    def __init__(self, low: float, high: float = math.inf) -> None:
        self.low, self.high = low, high

    def admits(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if self.low == self.high:
            return str(self.low)
        return f"{self.low} or more" if self.high == math.inf else f"{self.low} to {self.high}"


class Matches:
    """Strings that a pattern matches from end to end; ``words`` describe them in messages."""

    def __init__(self, pattern: str, words: str) -> None:
        self._match, self._words = re.compile(pattern).fullmatch, words

    def admits(self, value: str) -> bool:
        return self._match(value) is not None

    def __str__(self) -> str:
        return self._words


class _Mismatch(Exception):
    """A value that is not as declared. Its path grows while the error climbs, so that good values pay for none."""

    def __init__(self, path: str, message: str) -> None:
        self.path, self.message = path, message

    def climb(self, step: str) -> None:
        self.path = step + self.path


def require(holds: bool, key: str, expected: object, got: object) -> None:
    """For ``check`` methods: refuse the value of a field unless ``holds``."""
    if not holds:
        raise _Mismatch(f".{key}", f"expected {expected}, got {_describe(got)}")


def read(cls: type[T], value: object, where: str = "manifest", *, skip_unknown: bool = False) -> T:
    """Build dataclass ``cls`` from parsed JSON.

    Args:
        where: names the whole in messages.
        skip_unknown: leave keys out that the dataclasses do not have, at any depth, instead of refusing them.

    Raises:
        ManifestError: an unknown or missing key, a value of the wrong type or out of its range, or values that do
            not go together; named by its path.

    Example:
        >>> read(FileEntry, {"bytes": -1, "sha256": 64 * "0"}, "entry")
        ManifestError: entry.bytes: expected 0 or more, got int -1
    """
    try:
        made: T = _dataclass(cls)(value, skip_unknown)  # type: ignore[arg-type]  # a class is hashable
    except _Mismatch as error:
        raise ManifestError(f"{where}{error.path}: {error.message}") from None
    return made


def write(value: Any) -> Any:
    """The JSON form of a dataclass (nested dicts, lists and scalars)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: write(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [write(item) for item in value]
    if isinstance(value, dict):
        return {key: write(item) for key, item in value.items()}
    return value


def marked(value: Any, mark: str) -> Iterator[tuple[str, Any]]:
    """Path and value of each field that is ``Annotated[…, mark]``, in a dataclass and those directly below it."""
    cls: Any = type(value)
    for name, marks in _marks(cls):
        item = getattr(value, name)
        if mark in marks:
            yield name, item
        elif dataclasses.is_dataclass(item):
            for path, inner in marked(item, mark):
                yield f"{name}.{path}", inner


@functools.cache
def _types(cls: Any) -> dict[str, Any]:
    """Types of a dataclass's fields; its module must not turn annotations into strings."""
    return {field.name: field.type for field in dataclasses.fields(cls)}


@functools.cache
def _marks(cls: Any) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    return tuple((name, getattr(kind, "__metadata__", ())) for name, kind in _types(cls).items())


@functools.cache
def _dataclass(cls: Any) -> Reader:
    readers = {name: _reader(kind) for name, kind in _types(cls).items()}
    nothing = dataclasses.MISSING
    required = [
        f.name for f in dataclasses.fields(cls) if f.default is nothing and f.default_factory is nothing
    ]
    check = getattr(cls, "check", None)

    def read_object(value: Any, skip_unknown: bool) -> Any:
        arguments = {}
        for key, item in _object(value).items():
            reader = readers.get(key)
            if reader is not None:
                try:
                    arguments[key] = reader(item, skip_unknown)
                except _Mismatch as error:
                    error.climb(f".{key}")
                    raise
            elif not skip_unknown:
                raise _Mismatch("", f"unknown key {key!r}; expected only {', '.join(readers)}")
        for name in required:
            if name not in arguments:
                raise _Mismatch("", f"missing key {name!r}")
        made = cls(**arguments)
        if check is not None:
            check(made)
        return made

    return read_object


def _reader(kind: Any) -> Reader:
    """What reads a field of this type. Made once a class: types are slow to take apart."""
    if (scalar := _SCALARS.get(kind)) is not None:
        return scalar
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        constraints = [mark for mark in arguments[1:] if isinstance(mark, (Range, Matches))]
        return _constrained(_reader(arguments[0]), constraints)
    if origin in (types.UnionType, typing.Union):
        return _union(kind)
    if origin is typing.Literal:
        return _literal(arguments)
    if origin is tuple:
        return _list(_reader(arguments[0]))
    if origin is dict:
        return _dict(*map(_reader, arguments))
    return _dataclass(kind)


def _constrained(inner: Reader, constraints: list[Range | Matches]) -> Reader:
    def read_constrained(value: Any, skip_unknown: bool) -> Any:
        result = inner(value, skip_unknown)
        for constraint in constraints:
            if not constraint.admits(result):
                raise _Mismatch("", f"expected {constraint}, got {_describe(value)}")
        return result

    return read_constrained


def _union(kind: Any) -> Reader:
    arguments = typing.get_args(kind)
    members = [member for member in arguments if member is not types.NoneType]
    optional = len(members) < len(arguments)
    inner = _reader(members[0]) if len(members) == 1 else _tagged(members)
    return lambda value, skip_unknown: None if value is None and optional else inner(value, skip_unknown)


def _tagged(members: list[Any]) -> Reader:
    by_tag = {tag: _dataclass(cls) for cls in members for tag in typing.get_args(_types(cls)[TAG])}
    read_tag = _literal(tuple(by_tag))

    def read_tagged(value: Any, skip_unknown: bool) -> Any:
        if TAG not in _object(value):
            raise _Mismatch("", f"missing key {TAG!r}")
        try:
            tag = read_tag(value[TAG], skip_unknown)
        except _Mismatch as error:
            error.climb(f".{TAG}")
            raise
        return by_tag[tag](value, skip_unknown)

    return read_tagged


def _literal(allowed: tuple[str, ...]) -> Reader:
    def read_literal(value: Any, skip_unknown: bool) -> str:
        if type(value) is not str or value not in allowed:
            raise _Mismatch("", f"expected one of {', '.join(map(repr, allowed))}, got {_describe(value)}")
        return value

    return read_literal


def _list(item_reader: Reader) -> Reader:
    def read_list(value: Any, skip_unknown: bool) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _Mismatch("", f"expected a list, got {_describe(value)}")
        items = []
        for i, item in enumerate(value):
            try:
                items.append(item_reader(item, skip_unknown))
            except _Mismatch as error:
                error.climb(f"[{i}]")
                raise
        return tuple(items)

    return read_list


def _dict(key_reader: Reader, item_reader: Reader) -> Reader:
    def read_dict(value: Any, skip_unknown: bool) -> dict[str, Any]:
        result = {}
        for key, item in _object(value).items():
            try:
                name = key_reader(key, skip_unknown)
                result[name] = item_reader(item, skip_unknown)
            except _Mismatch as error:  # of the key itself, or of what it names
                error.climb(f"[{key!r}]")
                raise
        return result

    return read_dict


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Mismatch("", f"expected an object, got {_describe(value)}")
    return value


def _int(value: Any, skip_unknown: bool) -> int:
    # bool is a subclass of int, and a manifest that says "layers": true is wrong
    if type(value) is not int:
        raise _Mismatch("", f"expected int, got {_describe(value)}")
    if not -INT64 <= value < INT64:
        raise _Mismatch("", f"expected int of 64 bits, got {_describe(value)}")
    return value


def _float(value: Any, skip_unknown: bool) -> float:
    if type(value) is int:
        value = float(_int(value, skip_unknown))
    if type(value) is not float:
        raise _Mismatch("", f"expected float, got {_describe(value)}")
    if not math.isfinite(value):
        raise _Mismatch("", f"expected a finite number, got {value}")
    return value


def _str(value: Any, skip_unknown: bool) -> str:
    if type(value) is not str:
        raise _Mismatch("", f"expected str, got {_describe(value)}")
    # JSON can spell half a surrogate pair, which no file name and no tokenizer can take.
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _Mismatch("", f"expected valid Unicode, got {_describe(value)}")
    return value


def _bool(value: Any, skip_unknown: bool) -> bool:
    if type(value) is not bool:
        raise _Mismatch("", f"expected bool, got {_describe(value)}")
    return value


_SCALARS: dict[Any, Reader] = {int: _int, float: _float, bool: _bool, str: _str}


def _describe(value: object) -> str:
    if isinstance(value, (list, tuple, dict)):  # the repr of one can be endless, or too deep
        return f"{type(value).__name__} of {len(value)}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) < 60 else text[:57] + '...'}"
