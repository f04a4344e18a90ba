"""muomni on Ray: the server as a Ray Serve application, data sets with Ray Data. Needs ``muomni[ray]``.

    $ serve run muomni.cluster:app slots=8

    >>> replies = muomni.cluster.answer(ray.data.read_json("questions.jsonl"))

Names are loaded when they are first used: Ray's proxies need one module of this room, and not the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from muomni.errors import MissingPackageError

if TYPE_CHECKING:
    from .data import answer
    from .serving import Arguments, app

_HOMES = {"Arguments": "serving", "answer": "data", "app": "serving"}

__all__ = ["Arguments", "answer", "app"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'muomni.cluster' has no attribute {name!r}")
    try:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    except ImportError as error:
        raise MissingPackageError(
            f'a cluster needs more packages; install them on every node with\n  pip install "muomni[ray,cpu]" ({error})'
        ) from error
