"""A spoken conversation: whoever speaks is listened to, and whoever is spoken to may interrupt."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from muomni.engine.conversation import Conversation
from muomni.engine.stream import Stream
from muomni.errors import InputError, MuomniError
from muomni.events import SpeechDelta, TextDelta
from muomni.replies import Reply
from muomni.requests import Request

from .heard import Decodes, heard_text, ids_within
from .silero import Samples
from .turns import RATE_HZ, Judge, TurnDetector

RAISED_LEVEL = 0.04
"""Root mean square that gets through while we speak: a voice at arm's length, above our own echo."""
OPEN_SECONDS, TAIL_SECONDS = 0.4, 0.35
"""What got through once goes on through short pauses; a room rings on after the loudspeaker."""


class Sounds(Protocol):
    """A loudspeaker."""

    @property
    def playing(self) -> bool: ...

    def play(self, samples: Samples) -> None: ...

    def stop(self) -> float: ...


class Screen(Protocol):
    """Told what happens, from any thread."""

    def listening(self) -> None: ...

    def text(self, piece: str) -> None: ...

    def over(self, reply: Reply | None, heard: str | None) -> None:
        """A reply is whole, or ended early (``heard`` is what was heard of it)."""
        ...

    def failed(self, error: MuomniError) -> None: ...


class EchoGate:
    """Holds back what is no louder than our own voice from the loudspeaker.

    Example:
        >>> gate = EchoGate(time.monotonic)
        >>> samples = gate(samples, loudspeaker.playing)
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._raised_until = self._open_until = -1.0

    def __call__(self, samples: Samples, playing: bool) -> Samples:
        """The samples, or silence in their place."""
        now = self._now()
        if playing:
            self._raised_until = now + TAIL_SECONDS
        if now >= self._raised_until or not len(samples):
            return samples
        if float(np.sqrt(np.mean(samples**2))) > RAISED_LEVEL:
            self._open_until = now + OPEN_SECONDS
        return samples if now < self._open_until else np.zeros_like(samples)


class Talk:
    """A conversation by microphone and loudspeaker.

    Args:
        chat: what is remembered; its replies must be spoken (``speech=True``).
        ask: a request from what was said, samples and their rate.
        headphones: nothing of the loudspeaker reaches the microphone.

    Example:
        >>> talk = Talk(omni.chat(), omni.tokenizer, ask, Silero(), loudspeaker, screen)
        >>> talk.listen(microphone)
    """

    def __init__(
        self,
        chat: Conversation,
        tokenizer: Decodes,
        ask: Callable[[Samples, int], Request],
        judge: Judge,
        loudspeaker: Sounds,
        screen: Screen,
        headphones: bool = False,
    ) -> None:
        self._chat, self._tokenizer, self._ask = chat, tokenizer, ask
        self._turns = TurnDetector(judge)
        self._gate = None if headphones else EchoGate(time.monotonic)
        self._loudspeaker, self._screen = loudspeaker, screen
        self._kept = np.zeros(0, np.float32)  # the last samples; _end is the position behind them
        self._end = self._started = 0
        self._answering: Answering | None = None

    def listen(self, microphone: Iterable[Samples]) -> None:
        """Until the microphone ends; the last reply is then made, and heard, to its end."""
        try:
            for samples in microphone:
                self._hear(samples if self._gate is None else self._gate(samples, self._loudspeaker.playing))
        except BaseException:  # Ctrl-C, as a rule
            self.stop()
            raise
        self.wait()

    def wait(self) -> None:
        """Until the reply that is being made is whole."""
        if self._answering is not None:
            self._answering.thread.join()

    def stop(self) -> None:
        """Silence; the conversation remembers what was heard."""
        answering, self._answering = self._answering, None
        if answering is not None:
            answering.interrupt(self._loudspeaker.stop() if self._loudspeaker.playing else None)

    def _hear(self, samples: Samples) -> None:
        self._kept = np.concatenate([self._kept, samples])
        self._end += len(samples)
        for event in self._turns.push(samples):
            if event.what == "started":
                self._started = event.at
                self.stop()
                self._screen.listening()
            else:
                start = self._end - len(self._kept)
                said = self._kept[max(0, self._started - start) : event.at - start]
                self.stop()
                self._loudspeaker.stop()  # counts anew
                self._answering = Answering(self, self._ask(said, RATE_HZ))
        if not self._turns.speaking:
            self._kept = self._kept[-RATE_HZ:]


class Answering:
    """A reply on its way, in a thread of its own."""

    def __init__(self, talk: Talk, request: Request) -> None:
        self._talk, self._request = talk, request
        self._stream: Stream | None = None
        self._reply: Reply | None = None
        self._interrupted = False
        self._sent_ms = 0.0
        self.thread = threading.Thread(target=self._run, name="muomni reply")
        self.thread.start()

    def interrupt(self, heard_ms: float | None) -> None:
        """End it; with ``heard_ms`` only what was heard until then is remembered, None is all."""
        self._interrupted = True
        if self._stream is not None:
            self._stream.cancel(keep=True)
        self.thread.join()
        reply, talk = self._reply, self._talk
        if reply is None or heard_ms is None:
            return
        whole = reply.finish_reason != "cancelled"
        heard = heard_text(reply.text, heard_ms, self._sent_ms, whole)
        kept = len(ids_within(talk._tokenizer, reply.token_ids, heard))
        if heard != reply.text and kept:
            talk._chat.keep_only(kept)
        talk._screen.over(reply, heard)

    def _run(self) -> None:
        talk = self._talk
        try:
            with talk._chat.stream(self._request) as stream:
                self._stream = stream
                if self._interrupted:
                    return
                for event in stream:
                    if isinstance(event, TextDelta) and not self._interrupted:
                        talk._screen.text(event.text)
                    elif isinstance(event, SpeechDelta) and not self._interrupted:
                        self._sent_ms += len(event.samples) / event.sample_rate * 1000
                        talk._loudspeaker.play(event.samples)
                self._reply = stream.reply
        except MuomniError as error:
            talk._screen.failed(error)
            return
        if not self._interrupted and self._reply is not None:
            talk._screen.over(self._reply, None)


def spoken_request(options: Request, question: str) -> Callable[[Samples, int], Request]:
    """Makes a request of what was said: ``question`` of the recording, all else as in ``options``.

    Raises:
        InputError: the options ask for something themselves.
    """
    from dataclasses import replace

    if options.text is not None or options.has_media:
        raise InputError("what is asked comes from the microphone; leave out text and media")
    return lambda samples, rate: replace(options, text=question, audio=(samples, rate))
