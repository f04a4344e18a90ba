"""Whether the server lives, whether it answers, and its figures."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from .errors import ApiError
from .state import ServerState

router = APIRouter(tags=["server"])


def state_of(request: Request) -> ServerState:
    """The server's state, in a handler."""
    state: ServerState = request.app.state.server
    return state


@router.get("/health")
async def health(request: Request) -> JSONResponse:
    """The process lives, and its engine does (503 where it does not: start it again)."""
    engine = state_of(request).engine
    facts: dict[str, Any] = {"running": engine.running, "waiting": engine.waiting, "slots": engine.slots}
    return JSONResponse({"status": "ok" if engine.alive else "failed", **facts}, 200 if engine.alive else 503)


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """Requests are answered; 503 while the server is being stopped, or its engine failed."""
    if not state_of(request).ready:
        raise ApiError("the server takes no requests", 503, code="not_ready")
    return JSONResponse({"status": "ready", "model": state_of(request).model_id})


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {CONTENT_TYPE_LATEST.partition(";")[0]: {}}}},
)
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(generate_latest(state_of(request).metrics.registry), media_type=CONTENT_TYPE_LATEST)
