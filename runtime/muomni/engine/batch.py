"""Many requests to their replies, a few slots at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from muomni.errors import ExecutionError, MuomniError
from muomni.events import Failed, Finished
from muomni.models.registry import Models
from muomni.replies import Reply
from muomni.requests import Request

from .engine import Engine
from .prefix_cache import PrefixCache
from .prompt import Prompt, prepare
from .sequence import Sequence
from .timings import Timings

log = logging.getLogger("muomni")

Result = Reply | MuomniError
OnResult = Callable[[int, Result], None]


def answer_all(
    models: Models, requests: Iterable[Request], slots: int, prefixes: PrefixCache | None
) -> Iterator[tuple[int, Result]]:
    """Replies, or the errors of requests that could not be answered, with their index, as they are finished.

    Media are encoded by a thread beside the steps, a few requests ahead, so that a film stalls nobody.

    Raises:
        StageError, BundleError: what no request could be answered with.
    """
    engine = Engine(models, max(slots, 2), prefixes)  # a lone row would round otherwise than rows together
    todo = enumerate(requests)
    running: dict[Sequence, int] = {}
    encoding: dict[Future[Prompt], tuple[int, Request, Timings]] = {}
    more = True
    with ThreadPoolExecutor(1, "muomni media") as pool:
        try:
            while more or running or encoding:
                while more and len(running) + len(encoding) < slots:
                    if (taken := next(todo, None)) is None:
                        more = False
                        break
                    index, request = taken
                    timings = Timings()
                    if request.has_media:
                        future = pool.submit(prepare, request, models, timings)
                        encoding[future] = index, request, timings
                        continue
                    try:
                        running[engine.add(request, timings=timings, stream_text=False)] = index
                    except MuomniError as error:
                        yield index, error
                if encoding and not running:
                    wait(encoding, return_when=FIRST_COMPLETED)
                for future in [f for f in encoding if f.done()]:
                    index, request, timings = encoding.pop(future)
                    try:
                        prompt = future.result()
                        sequence = engine.add(request, prompt=prompt, timings=timings, stream_text=False)
                    except MuomniError as error:
                        yield index, error
                    except (
                        Exception
                    ) as error:  # of a decoder of media, or of memory: this request alone fails
                        log.exception("request %d failed", index)
                        yield index, ExecutionError(f"{type(error).__name__}: {error}")
                    else:
                        running[sequence] = index
                for sequence, event in engine.step():
                    if isinstance(event, Finished):
                        yield running.pop(sequence), event.reply
                    elif isinstance(event, Failed):
                        yield running.pop(sequence), event.error
        finally:
            for future in encoding:
                future.cancel()
