"""Models are made on demand, once each."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

import muomni
from muomni.models.registry import Models


@pytest.fixture
def models() -> Iterator[Models]:
    with muomni.Omni.load(device="cpu", threads=1) as omni:
        yield omni._models


def test_threads_that_want_a_model_at_once_share_one(models: Models) -> None:
    together, made, got = threading.Barrier(5), list[object](), list[object]()

    def make() -> object:
        made.append(threading.Event())
        made[-1].wait(0.05)  # type: ignore[attr-defined]  # the others come meanwhile
        return made[-1]

    def want() -> None:
        together.wait()
        got.append(models._once("a model", make))

    threads = [threading.Thread(target=want) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and got == made * 5


def test_time_spent_loading_is_told_once(models: Models) -> None:
    models.take_load_seconds()
    models.thinker()
    assert models.take_load_seconds() > 0
    assert models.take_load_seconds() == 0
