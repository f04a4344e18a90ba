"""A recording of any length -> the text of its pieces, in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muomni.engine.thread import QueueFullError
from muomni.events import Failed, Finished, TextDelta
from muomni.live.silero import Silero
from muomni.live.turns import RATE_HZ
from muomni.models.sampling import SamplingOptions
from muomni.replies import Reply
from muomni.requests import Request
from muomni.serve.state import Answer, ServerState

from .pauses import PauseCutter, Piece

BLOCK_S = 10
AHEAD = 4
"""Pieces that are transcribed at a time."""
ROOM_S = 0.1
"""A piece is shorter than what the encoder takes by this."""
WAIT_FOR_ROOM_S = 0.05
TOKENS_PER_SECOND = 25
FEWEST_TOKENS = 16


@dataclass(frozen=True)
class Segment:
    """A piece of the recording and what was said in it; times in seconds of the recording."""

    start: float
    end: float
    reply: Reply
    speech: float

    @property
    def text(self) -> str:
        return self.reply.text.strip()


async def transcribe(
    samples: NDArray[np.float32], state: ServerState, sampling: SamplingOptions
) -> AsyncIterator[str | Segment]:
    """Text as it comes, and after the last of each piece the whole of it.

    Args:
        samples: (n,) at :data:`RATE_HZ`.

    Raises:
        QueueFullError: as many requests wait as may; said before the first piece only, later it is waited for.
    """
    running: deque[tuple[Piece, Answer]] = deque()
    duration = len(samples) / RATE_HZ
    async with AsyncExitStack() as open_answers:
        pieces = _pieces(samples, state)
        more = True
        while more or running:
            while more and len(running) < AHEAD:
                piece = await anext(pieces, None)
                if piece is None:
                    more = False
                    break
                answer = await _begin(piece, samples, state, sampling, wait=bool(running))
                running.append((piece, await open_answers.enter_async_context(answer)))
            if not running:
                break
            piece, answer = running.popleft()
            async for event in answer:
                if isinstance(event, TextDelta):
                    yield event.text
                elif isinstance(event, Failed):
                    raise event.error
                elif isinstance(event, Finished):
                    yield Segment(
                        piece.start / RATE_HZ, min(piece.end / RATE_HZ, duration), event.reply, piece.speech
                    )


async def _pieces(samples: NDArray[np.float32], state: ServerState) -> AsyncIterator[Piece]:
    encoder = state.omni.audio_encoder
    judge = await asyncio.to_thread(Silero)
    cutter = PauseCutter(judge, encoder.seconds(encoder.stage.max_embeddings) - ROOM_S)
    for at in range(0, len(samples), BLOCK_S * RATE_HZ):
        for piece in await asyncio.to_thread(cutter.push, samples[at : at + BLOCK_S * RATE_HZ]):
            yield piece
    for piece in await asyncio.to_thread(cutter.finish):
        yield piece


async def _begin(
    piece: Piece, samples: NDArray[np.float32], state: ServerState, sampling: SamplingOptions, wait: bool
) -> Answer:
    seconds = (piece.end - piece.start) / RATE_HZ
    request = Request(
        audio=(samples[piece.start : piece.end], RATE_HZ),
        prompt=state.omni.manifest.prompt.default_audio_question,
        max_new_tokens=FEWEST_TOKENS + int(seconds * TOKENS_PER_SECOND),
        sampling=sampling,
        logprobs=0,
    )
    while True:
        try:
            return state.answer(state.turn(request))
        except QueueFullError:
            if not wait:
                raise
            await asyncio.sleep(WAIT_FOR_ROOM_S)
