"""Many requests to their replies, a few slots at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from muomni import logs
from muomni.errors import ExecutionError, MuomniError
from muomni.events import Failed, Finished
from muomni.models.registry import Models
from muomni.replies import Reply
from muomni.requests import Request, as_request

from .engine import Engine
from .prefix_cache import PrefixCache
from .prompt import Prompt, prepare
from .sequence import Sequence
from .timings import Timings

Result = Reply | MuomniError
OnResult = Callable[[int, Result], None]


class Ahead:
    """Encodes the media of requests in threads beside the step loop.

    Example:
        >>> with Ahead(models) as ahead:
        ...     ahead.put(0, request)
        ...     for index, request, timings, future in ahead.done(wait=True): ...
    """

    def __init__(self, models: Models, threads: int = 1) -> None:
        self._models = models
        self._pool = ThreadPoolExecutor(threads, "muomni media")
        self._futures: dict[Future[Prompt], tuple[int, Request, Timings]] = {}

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *error: object) -> None:
        for future in self._futures:
            future.cancel()
        self._pool.shutdown()

    @property
    def running(self) -> int:
        """Requests that are not encoded yet."""
        return sum(not future.done() for future in self._futures)

    def __len__(self) -> int:
        return len(self._futures)

    def put(self, index: int, request: Request) -> None:
        """Encode a request as soon as a thread is free."""
        timings = Timings()
        future = self._pool.submit(prepare, request, self._models, timings)
        self._futures[future] = index, request, timings

    def done(self, wait_for_one: bool) -> Iterator[tuple[int, Request, Timings, Future[Prompt]]]:
        """What has been encoded since the last time; it is then forgotten here."""
        if wait_for_one and self._futures:
            wait(self._futures, return_when=FIRST_COMPLETED)
        for future in [f for f in self._futures if f.done()]:
            yield (*self._futures.pop(future), future)


def answer_all(
    models: Models, requests: Iterable[Request | str], slots: int, prefixes: PrefixCache | None
) -> Iterator[tuple[int, Result]]:
    """Replies, or the errors of requests that could not be answered, with their index, as they are finished.

    Media are encoded by a thread beside the steps, a few requests ahead, so that a film stalls nobody.

    Raises:
        StageError, BundleError: what no request could be answered with.
    """
    engine = Engine(models, max(slots, 2), prefixes)  # a lone row would round otherwise than rows together
    todo = enumerate(requests)
    running: dict[Sequence, int] = {}
    more = True
    with Ahead(models) as ahead:
        while more or running or len(ahead):
            while more and len(running) + len(ahead) < slots:
                if (taken := next(todo, None)) is None:
                    more = False
                    break
                index, given = taken
                try:
                    request = as_request(given)
                    if request.has_media:
                        ahead.put(index, request)
                        continue
                    running[engine.add(request, stream_text=False)] = index
                except MuomniError as error:
                    yield index, error
            for index, request, timings, future in ahead.done(wait_for_one=not running):
                try:
                    prompt = future.result()
                    sequence = engine.add(request, prompt=prompt, timings=timings, stream_text=False)
                except MuomniError as error:
                    yield index, error
                except Exception as error:  # of a decoder of media, or of memory: this request alone fails
                    logs.exception("request %d failed", index)
                    yield index, ExecutionError(f"{type(error).__name__}: {error}")
                else:
                    running[sequence] = index
            for sequence, event in engine.step():
                if isinstance(event, Finished):
                    yield running.pop(sequence), event.reply
                elif isinstance(event, Failed):
                    yield running.pop(sequence), event.error
