"""JSON <-> frozen dataclasses, refusing everything that is not exactly as declared.

A manifest written by another version, or by hand, must fail where it is read and say which key is at fault,
not later with a strange number. Supported field types: ``bool``, ``int``, ``float``, ``str``, ``X | None``,
``tuple[X, ...]``, ``dict[str, X]``, ``Literal[...]`` and dataclasses of these.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from typing import Any, TypeVar

from muomni.errors import ManifestError

T = TypeVar("T")


def read(cls: type[T], value: object, where: str = "manifest") -> T:
    """Build dataclass ``cls`` from parsed JSON.

    Raises:
        ManifestError: an unknown or missing key, or a value of the wrong type; named by its path.
    """
    if not isinstance(value, dict):
        raise ManifestError(f"{where}: expected an object, got {_describe(value)}")
    assert dataclasses.is_dataclass(cls)
    hints = _hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in value:
        if key not in fields:
            raise ManifestError(f"{where}: unknown key {key!r}; expected only {', '.join(fields)}")
    missing = [name for name, f in fields.items() if name not in value and _required(f)]
    if missing:
        raise ManifestError(f"{where}: missing key {missing[0]!r}")
    arguments = {key: _convert(hints[key], item, f"{where}.{key}") for key, item in value.items()}
    return cls(**arguments)


def write(value: Any) -> Any:
    """The JSON form of a dataclass (nested dicts, lists and scalars)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: write(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [write(item) for item in value]
    if isinstance(value, dict):
        return {key: write(item) for key, item in value.items()}
    return value


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    """Types of a class's fields; slow to work out, and a manifest has dozens of entries of one class."""
    return typing.get_type_hints(cls)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(kind: Any, value: object, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        inner = [k for k in typing.get_args(kind) if k is not type(None)]
        if value is None:
            return None
        return _convert(inner[0], value, where)
    if origin is typing.Literal:
        if value not in typing.get_args(kind):
            allowed = ", ".join(map(repr, typing.get_args(kind)))
            raise ManifestError(f"{where}: expected one of {allowed}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise ManifestError(f"{where}: expected a list, got {_describe(value)}")
        item_kind = typing.get_args(kind)[0]
        return tuple(_convert(item_kind, item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ManifestError(f"{where}: expected an object, got {_describe(value)}")
        item_kind = typing.get_args(kind)[1]
        return {key: _convert(item_kind, item, f"{where}[{key!r}]") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return read(typing.cast(type, kind), value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # bool is a subclass of int, and a manifest that says "layers": true is wrong
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ManifestError(f"{where}: expected {kind.__name__}, got {_describe(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ManifestError(f"{where}: expected a finite number, got {value}")
    return value


def _describe(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) < 60 else text[:57] + '...'}"
