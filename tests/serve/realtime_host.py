"""A server without a network: a session and an engine that is stepped by the test."""

from __future__ import annotations

from collections import deque
from typing import Any

import muomni
from muomni import Failed, Finished, Request
from muomni.engine.turn import LoneTurn, Turn
from muomni.live.silero import Samples
from muomni.serve.realtime.protocol import Host, Listener


class SteppedTurn:
    """A turn in an engine of its own, that goes on when the test says so."""

    def __init__(self, host: SteppedHost, turn: Turn, listener: Listener) -> None:
        self._host, self._turn, self._listener = host, turn, listener
        self._events: deque[muomni.Event] = deque()
        self._engine = host.omni.engine(1)
        self._sequence: Any = None
        self._cancel: bool | None = None

    def cancel(self, keep: bool = False) -> None:
        self._cancel = keep
        if self._sequence is not None:
            self._sequence.cancel(keep)

    def step(self) -> None:
        """One step of the engine; then its events."""
        last: muomni.Event | None = None
        if self._sequence is None and self._cancel is None:
            try:
                self._turn.prepare()
                self._sequence = self._turn.join(self._engine, stream_text=True)
            except muomni.MuomniError as error:
                last = Failed(error)
        elif self._sequence is not None:
            for _, event in self._engine.step():
                if isinstance(event, Finished | Failed):
                    last = event
                else:
                    self._listener.event(event)
        if last is None and not (
            self._cancel is not None and (self._sequence is None or self._sequence.done)
        ):
            return
        self._host.running.remove(self)
        if isinstance(last, Finished):
            self._turn.remember(last.reply)
        self._turn.release()
        if last is not None:
            self._listener.event(last)
        self._listener.over()


class SteppedHost(Host):
    """What a session needs of its server."""

    model, can_hear, can_speak, most_tokens = "demo", True, True, 64
    context_length = 384

    def __init__(self, omni: muomni.Omni) -> None:
        self.omni = omni
        self.tokenizer = omni.tokenizer
        prompts = omni.manifest.prompt
        self.spoken_question = prompts.default_spoken_question
        self.transcript_question = prompts.default_audio_question
        self.running: list[SteppedTurn] = []

    def new_chat(self) -> muomni.Conversation:
        return self.omni.chat()

    def lone_turn(self, request: Request) -> Turn:
        return LoneTurn(self.omni._models, request)

    def run(self, turn: Turn, listener: Listener) -> SteppedTurn:
        running = SteppedTurn(self, turn, listener)
        self.running.append(running)
        return running

    def step(self) -> None:
        for running in tuple(self.running):
            running.step()

    def finish(self) -> None:
        """Step until nothing runs."""
        while self.running:
            self.step()


def loud(window: Samples) -> float:
    """A voice activity detector for tests: what is loud is speech."""
    return 1.0 if float(abs(window).max()) > 0.05 else 0.0
