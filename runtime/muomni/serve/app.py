"""The application: routers, and what stands around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.middleware.cors import CORSMiddleware

from muomni import __version__

from . import errors, health
from .openai import audio_speech, chat, models, responses, transcriptions
from .realtime import socket
from .security import Guard, RequestIds
from .settings import Settings
from .state import ServerState

PAGE = Path(__file__).parent / "page"
ROUTERS = (
    health.router,
    chat.router,
    responses.router,
    audio_speech.router,
    transcriptions.router,
    models.router,
    socket.router,
)


def create_app(settings: Settings, state: ServerState | None = None) -> FastAPI:
    """The server as an ASGI application.

    Args:
        state: loaded already; None loads it when the application starts. It is closed when the application ends.

    Example:
        >>> uvicorn.run(create_app(Settings()))
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loaded = state if state is not None else await asyncio.to_thread(ServerState, settings)
        app.state.server = loaded
        try:
            yield
        finally:
            await asyncio.to_thread(loaded.close)

    app = FastAPI(
        title="muomni",
        version=__version__,
        summary="OpenAI's interfaces for μOmni models.",
        lifespan=lifespan,
        docs_url=None,  # both pages load their scripts from foreign addresses
        redoc_url=None,
    )
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router, responses=errors.RESPONSES)
    if PAGE.is_dir():
        app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    # The last one is the outermost.
    app.add_middleware(Guard, settings=settings)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "retry-after-ms", "retry-after", "x-should-retry"],
        )
    app.add_middleware(RequestIds)
    return app
