"""A stand-in for the model: it answers with what it was asked, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from muomni.errors import InputError, MuomniError
from muomni.replies import Reply, Speech, Usage
from muomni.requests import Request

CPU = {"thinker": ["CPUExecutionProvider"]}


def speech_of(samples: int) -> Speech:
    codes = np.array([[1, 2], [3, 4]], dtype=np.int64)
    return Speech(np.zeros(samples, dtype=np.float32), 16000, codes)


class FakeConversation:
    """Keeps the request of every turn."""

    def __init__(self) -> None:
        self.turns: list[Request] = []
        self.streamed = False
        self.resets = 0
        self.failures: list[BaseException | None] = []
        self.notes: tuple[str, ...] = ()
        self.mute = False

    def say(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        self.turns.append(request)
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        answer = f"réponse to {request.text}\nsecond line"
        if on_text is not None:
            self.streamed = True
            for word in answer.split(" "):
                on_text(word if word == answer.split(" ")[0] else f" {word}")
        speech = None if request.speech is None or self.mute else speech_of(1600)
        timings = {"load": 0.5, "first_token": 0.25, "decode": 0.125, "total": 1.0}
        usage = Usage(text_tokens=4, image_tokens=3, completion_tokens=3)
        return Reply(
            answer, (5, 6, 2), "stop", usage, speech, timings=timings, providers=CPU, notes=self.notes
        )

    def reset(self) -> None:
        self.resets += 1


class FakeOmni:
    """Stands where ``muomni.Omni`` does, and for what its ``load`` gives."""

    def __init__(self) -> None:
        self.conversation = FakeConversation()
        self.loaded: dict[str, Any] = {}
        self.failure: Exception | None = None
        self.providers = CPU
        self.threads = 2
        self.tokenizer = self.thinker = object()
        self.spoken: list[dict[str, Any]] = []
        self.asked: list[Request] = []
        self.slots = 0
        self.manifest = SimpleNamespace(identity="ab" * 32)
        self.before: Callable[[int], object] = lambda index: None
        """Called before a request of a batch is answered."""

    def load(
        self,
        path: Path | None,
        device: str = "auto",
        threads: int | None = None,
        prefix_cache_bytes: int = 1,
    ) -> FakeOmni:
        self.loaded = {"path": path, "device": device, "threads": threads}
        if self.failure:
            raise self.failure
        return self

    def chat(self) -> FakeConversation:
        return self.conversation

    def generate(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        return self.conversation.say(request, on_text)

    def speak(self, text: str, **options: Any) -> Speech:
        self.spoken.append({"text": text, **options})
        return speech_of(800)

    def generate_batch(
        self,
        requests: Iterable[Request],
        *,
        slots: int,
        on_result: Callable[[int, Reply | MuomniError], None],
    ) -> None:
        """Answers in the order of the requests; a text of "bad" fails."""
        self.slots = slots
        for index, request in enumerate(requests):
            self.before(index)
            self.asked.append(request)
            if request.text == "bad":
                on_result(index, InputError("it is bad"))
            else:
                on_result(index, Reply(f"re: {request.text}", (1, 2), "stop", Usage(2, completion_tokens=2)))
