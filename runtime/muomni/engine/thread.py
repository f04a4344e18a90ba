"""An engine in a thread of its own, for many callers at once: what a server is built on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from muomni import logs
from muomni.errors import ExecutionError, MuomniError, UsageError
from muomni.events import Event, Failed, Finished
from muomni.models.registry import Models

from .engine import Engine
from .sequence import Sequence
from .turn import Turn

OnEvent = Callable[[Event], None]
"""Called in the engine's thread with each event of one request; it must return at once."""


class QueueFullError(MuomniError):
    """As many requests wait as may; try again later."""


class Ticket:
    """A request that was submitted. Any thread may use it.

    Attributes:
        may_speak: False holds speech back while nobody takes it; the text goes on.
    """

    def __init__(self, thread: EngineThread, turn: Turn, on_event: OnEvent) -> None:
        self._thread, self._turn, self._on_event = thread, turn, on_event
        self._sequence: Sequence | None = None
        self._cancel: bool | None = None
        self._speaks = True
        self.done = False

    @property
    def may_speak(self) -> bool:
        return self._speaks

    @may_speak.setter
    def may_speak(self, value: bool) -> None:
        self._speaks = value
        if self._sequence is not None:
            self._sequence.may_speak = value
            self._thread._wake()

    def cancel(self, keep: bool = False) -> None:
        """End the request at the engine's next step, see :meth:`muomni.Stream.cancel`. No event follows but, with
        ``keep``, :class:`muomni.Finished`."""
        self._cancel = keep
        if self._sequence is not None:
            self._sequence.cancel(keep)
        self._thread._wake()


class EngineThread:
    """Steps an engine as long as there is something to do.

    Args:
        slots: requests that decode together.
        queue: requests that may wait for a slot; more are refused.
        media_threads: encode media and text, beside the steps.

    Example:
        >>> thread = EngineThread(omni.engine(8, real_time=True), queue=64)
        >>> ticket = thread.submit(LoneTurn(models, Request("Hello!")), print)
        >>> thread.close()
    """

    def __init__(self, engine: Engine, queue: int = 64, media_threads: int = 1) -> None:
        self._engine, self._queue = engine, queue
        self._pool = ThreadPoolExecutor(media_threads, "muomni media")
        self._ready: deque[Ticket] = deque()  # prepared, to join
        self._tickets: dict[Sequence, Ticket] = {}  # joined
        self._open: set[Ticket] = set()  # all that are not over
        self._changed = threading.Condition()
        self._woken = self._closing = self._stopping = False
        self.steps = 0
        """Steps so far: one that does not move while requests run is an engine that is stuck."""
        self._thread = threading.Thread(target=self._run, name="muomni engine", daemon=True)
        self._thread.start()

    @property
    def models(self) -> Models:
        return self._engine.models

    @property
    def slots(self) -> int:
        return self._engine.slots

    @property
    def running(self) -> int:
        """Requests that have joined the engine, and are not over."""
        return len(self._tickets)

    @property
    def waiting(self) -> int:
        """Requests that are being prepared, or wait to join."""
        return len(self._open) - len(self._tickets)

    @property
    def busy(self) -> bool:
        """A step would do something."""
        return bool(self._ready) or not (self._engine.idle or self._engine.held_back)

    @property
    def alive(self) -> bool:
        """The thread goes on."""
        return self._thread.is_alive()

    def submit(self, turn: Turn, on_event: OnEvent) -> Ticket:
        """Answer a request; its events go to ``on_event`` as they come.

        Raises:
            QueueFullError: as many wait as may. The turn is released.
            UsageError: the thread is being closed. The turn is released.
        """
        ticket = Ticket(self, turn, on_event)
        refusal: MuomniError | None = None
        with self._changed:
            if self._closing:
                refusal = UsageError("the engine is being closed and takes no more requests")
            elif len(self._open) >= self._engine.slots + self._queue:
                refusal = QueueFullError(
                    f"{self._queue} requests wait already beside the {self._engine.slots} that are answered; try "
                    "again later"
                )
            else:
                self._open.add(ticket)
                self._pool.submit(self._prepare, ticket)
        if refusal is not None:
            turn.release()
            raise refusal
        return ticket

    def close(self, timeout_s: float = 0.0) -> None:
        """Take no more requests, give those that run some time to end, and end the rest (with a Failed event)."""
        with self._changed:
            self._closing = True
            if timeout_s > 0:
                self._changed.wait_for(lambda: not self._open, timeout_s)
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()
        self._pool.shutdown(cancel_futures=True)
        self._end_all(UsageError("the server was stopped before the reply was whole"))

    def _wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def _prepare(self, ticket: Ticket) -> None:
        error: MuomniError | None = None
        if ticket._cancel is None:
            try:
                ticket._turn.prepare()
            except MuomniError as failure:
                error = failure
            except Exception as failure:  # of a decoder of media, or of memory: this request alone fails
                logs.exception("a request could not be prepared")
                error = ExecutionError(f"{type(failure).__name__}: {failure}")
        if error is not None or ticket._cancel is not None:
            self._over(ticket, None if error is None else Failed(error))
            return
        with self._changed:
            self._ready.append(ticket)
            self._changed.notify_all()

    def _run(self) -> None:
        engine = self._engine
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._woken or self.busy)
                self._woken = False
                if self._stopping:
                    break
                joining, self._ready = self._ready, deque()
            for ticket in joining:
                self._join(ticket)
            try:
                events = engine.step()
            except Exception:
                logs.exception("the engine's step failed; it takes no more requests")
                self._closing = True
                self._end_all(ExecutionError("the engine failed; see the server's log"))
                return
            self.steps += 1
            for sequence, event in events:
                ticket = self._tickets[sequence]
                if isinstance(event, Finished | Failed):
                    self._leave(sequence, ticket, event)
                else:
                    self._give(ticket, event)
            for sequence, ticket in [(s, t) for s, t in self._tickets.items() if s.done]:
                self._leave(sequence, ticket, None)  # cancelled, and nothing of it kept

    def _join(self, ticket: Ticket) -> None:
        try:
            sequence = ticket._turn.join(self._engine, stream_text=True)
        except MuomniError as error:
            self._over(ticket, Failed(error))
            return
        sequence.may_speak = ticket._speaks
        self._tickets[sequence] = ticket
        ticket._sequence = sequence
        if ticket._cancel is not None:
            sequence.cancel(ticket._cancel)

    def _leave(self, sequence: Sequence, ticket: Ticket, event: Finished | Failed | None) -> None:
        del self._tickets[sequence]
        if isinstance(event, Finished):
            if ticket._cancel is False:  # asked for when the reply was whole already
                event = None
            else:
                ticket._turn.remember(event.reply)
        self._over(ticket, event)

    def _over(self, ticket: Ticket, event: Finished | Failed | None) -> None:
        with self._changed:
            if ticket not in self._open:
                return
            self._open.discard(ticket)
            ticket.done = True
            self._changed.notify_all()
        ticket._turn.release()
        if event is not None:
            self._give(ticket, event)

    def _give(self, ticket: Ticket, event: Event) -> None:
        try:
            ticket._on_event(event)
        except Exception:
            logs.exception("a listener of events failed; its request is cancelled")
            ticket.cancel()

    def _end_all(self, error: MuomniError) -> None:
        """End whatever is not over; the engine takes no more steps."""
        self._tickets.clear()
        for ticket in tuple(self._open):
            self._over(ticket, Failed(error))
