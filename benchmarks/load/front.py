"""A server in front of a peer's engine, for those that bring none: ``python front.py ENGINE MODEL TOKENIZER PORT``.

One POST handler streams what the engine's own continuous batching gives, as muomni's server does; each token is a
line of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

SLOTS = 128
OnToken = Callable[[int | None], None]
"""Takes each token, and None after the last."""


class OpenVino:
    """OpenVINO GenAI's ContinuousBatchingPipeline, with the GGUF file of llama.cpp."""

    def __init__(self, model: str) -> None:
        import numpy as np
        import openvino as ov
        import openvino_genai as genai

        folder, _, file = model.partition("|")
        settings = genai.SchedulerConfig()
        settings.cache_size = 1
        settings.max_num_seqs = SLOTS
        settings.enable_prefix_caching = False
        # The tokenizer has the right size, and nothing is tokenized with it: the pipeline asks for one.
        self._pipeline = genai.ContinuousBatchingPipeline(file, genai.Tokenizer(folder), settings, "CPU")
        self._genai, self._ov, self._np = genai, ov, np
        self._handles: dict[int, tuple[Any, OnToken]] = {}
        self._count = 0

    def begin(self, ids: list[int], most: int, on_token: OnToken) -> None:
        config = self._genai.GenerationConfig()
        config.max_new_tokens = most
        config.do_sample = False
        self._count += 1
        tensor = self._ov.Tensor(self._np.array([ids], self._np.int64))
        self._handles[self._count] = self._pipeline.add_request(self._count, tensor, config), on_token

    def step(self) -> bool:
        """Whether there is more to do."""
        self._pipeline.step()
        running = self._genai.GenerationStatus.RUNNING
        for number, (handle, on_token) in list(self._handles.items()):
            while handle.can_read():
                for output in handle.read().values():
                    for token in output.generated_ids:
                        on_token(token)
            if handle.get_status() != running:
                del self._handles[number]
                on_token(None)
        return bool(self._handles)


class Genai:
    """onnxruntime-genai's Engine."""

    def __init__(self, model: str) -> None:
        import numpy as np
        import onnxruntime_genai as og

        self._og, self._np = og, np
        self._model = og.Model(og.Config(model))
        self._engine = og.Engine(self._model)
        self._events = self._engine.create_event_buffer(SLOTS)
        self._running: dict[Any, OnToken] = {}

    def begin(self, ids: list[int], most: int, on_token: OnToken) -> None:
        options = self._og.RequestOptions()
        options.set_max_session_tokens(len(ids) + most)
        request = self._engine.create_request(options=options)
        turn = self._og.TurnOptions(request)
        turn.set_max_generated_tokens(most)
        turn.set_do_sample(False)
        self._running[request] = on_token
        request.begin_turn(self._np.array(ids, self._np.int32), turn)

    def step(self) -> bool:
        """Whether there is more to do."""
        flags = self._og.EngineEventFlags
        for event in self._engine.run(self._events):
            on_token = self._running[event.request]
            if event.flags & flags.TOKEN:
                on_token(event.token)
            if event.flags & flags.TURN_FINISHED:
                del self._running[event.request]
                event.request.close()
                on_token(None)
        return self._engine.has_pending_requests()


ENGINES = {"openvino": OpenVino, "onnxruntime-genai": Genai}


class Worker:
    """The thread that makes an engine, and steps it: some may not be touched by another."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._new: queue.SimpleQueue[tuple[list[int], int, OnToken]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def begin(self, ids: list[int], most: int, on_token: OnToken) -> None:
        self._new.put((ids, most, on_token))

    def _run(self) -> None:
        try:
            engine, more = self._make(), False
            while True:
                while not more or not self._new.empty():
                    engine.begin(*self._new.get())
                    more = True
                more = engine.step()
        except BaseException:
            traceback.print_exc()
            os._exit(1)


def create_app(worker: Worker, tokenizer_file: str) -> Any:
    """The application."""
    from fastapi import FastAPI, Request
    from fastapi.responses import StreamingResponse
    from sentencepiece import SentencePieceProcessor

    tokenizer = SentencePieceProcessor(model_file=tokenizer_file)
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    async def chat(request: Request) -> StreamingResponse:
        body = await request.json()
        loop = asyncio.get_running_loop()
        tokens: asyncio.Queue[int | None] = asyncio.Queue()
        ids = [tokenizer.bos_id(), *tokenizer.encode(body["messages"][0]["content"])]
        worker.begin(
            ids,
            body["max_tokens"],
            lambda token: loop.call_soon_threadsafe(tokens.put_nowait, token) and None,
        )

        async def lines() -> AsyncIterator[bytes]:
            count = 0
            while (token := await tokens.get()) is not None:
                count += 1
                yield line({"choices": [{"index": 0, "delta": {"content": tokenizer.decode([token])}}]})
            yield line({"choices": [], "usage": {"prompt_tokens": len(ids), "completion_tokens": count}})
            yield b"data: [DONE]\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    chat.__annotations__["request"] = Request  # a name of this function, which FastAPI cannot look up
    app.post("/v1/chat/completions", response_model=None)(chat)
    return app


def line(value: dict[str, Any]) -> bytes:
    """An event of the stream, with what OpenAI's clients expect around it."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "peer"}
    return f"data: {json.dumps({**head, **value}, separators=(',', ':'))}\n\n".encode()


def main() -> None:
    import uvicorn

    engine, model, tokenizer, port = sys.argv[1:]
    app = create_app(Worker(lambda: ENGINES[engine](model)), tokenizer)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
