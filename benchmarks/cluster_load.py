"""Clients that ask without pause, and what became of their requests."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import httpx2 as httpx
import openai

QUESTION = "What is two plus three?"
CHAT: dict[str, Any] = {"model": "muomni", "messages": [{"role": "user", "content": QUESTION}]}
SPEECH = {
    "model": "muomni",
    "voice": "a",
    "input": "Seven green cups stand on the table. Two plus three is five.",
    "stream_format": "sse",
}
TIMEOUT_S = 60.0


@dataclass
class Tally:
    """Of one kind of client. ``longest_s`` is the longest that a request took that was answered."""

    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0

    @property
    def summary(self) -> dict[str, Any]:
        return {
            "answered": self.answered,
            "failed": sum(self.failed.values()),
            "errors": dict(self.failed),
            "longest_s": round(self.longest_s, 2),
        }


class Load:
    """Clients of three kinds that ask until the block ends.

    ``once`` gives up at the first error. ``retrying`` is OpenAI's client, which tries again. ``streams`` listen to
    speech, and cannot be begun again.
    """

    def __init__(self, url: str, once: int = 2, retrying: int = 1, streams: int = 1) -> None:
        self._url, self._over, self._lock = url, threading.Event(), threading.Lock()
        self.tallies = {"once": Tally(), "retrying": Tally(), "streams": Tally()}
        kinds = ["once"] * once + ["retrying"] * retrying + ["streams"] * streams
        self._threads = [threading.Thread(target=self._ask, args=(kind,)) for kind in kinds]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def summary(self) -> dict[str, Any]:
        with self._lock:
            return {name: tally.summary for name, tally in self.tallies.items()}

    def reset(self) -> dict[str, Any]:
        """What was until now; then count anew."""
        with self._lock:
            before = {name: tally.summary for name, tally in self.tallies.items()}
            for name in self.tallies:
                self.tallies[name] = Tally()
        return before

    def _ask(self, kind: str) -> None:
        retries = 8 if kind == "retrying" else 0
        with openai.OpenAI(
            base_url=f"{self._url}/v1", api_key="none", max_retries=retries, timeout=TIMEOUT_S
        ) as client:
            while not self._over.is_set():
                start = time.perf_counter()
                error = self._stream() if kind == "streams" else self._whole(client)
                with self._lock:
                    tally = self.tallies[kind]
                    if error:
                        tally.failed[error] += 1
                    else:
                        tally.answered += 1
                        tally.longest_s = max(tally.longest_s, time.perf_counter() - start)
                if error:
                    time.sleep(0.1)

    def _whole(self, client: openai.OpenAI) -> str:
        try:
            client.chat.completions.create(**CHAT)
        except openai.APIStatusError as error:
            return f"{error.status_code} {error.code or 'without a code'}"
        except openai.APITimeoutError:
            return "timeout"
        except openai.APIConnectionError as error:
            return f"connection: {type(error.__cause__).__name__}"
        return ""

    def _stream(self) -> str:
        last = ""
        try:
            with httpx.stream(
                "POST", f"{self._url}/v1/audio/speech", json=SPEECH, timeout=TIMEOUT_S
            ) as answer:
                for line in answer.iter_lines():
                    last = line or last
        except httpx.HTTPError as error:
            return f"connection: {type(error).__name__}"
        try:
            said = json.loads(last.removeprefix("data: "))
        except ValueError:
            return "no end"
        if "error" in said:
            return f"{answer.status_code} {said['error'].get('code')}"
        return "" if said.get("type") == "speech.audio.done" else "no end"
