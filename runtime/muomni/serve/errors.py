"""Errors in OpenAI's shape: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from muomni.engine.thread import QueueFullError
from muomni.errors import ContextError, InputError, MissingPackageError, MuomniError, StageError, UsageError

RETRY_AFTER_MS = 1000
"""After which a client that was refused for a full queue may try again."""
TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
}
log = logging.getLogger("muomni.serve")


class ErrorFields(BaseModel):
    """What an error says."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """An error, as the OpenAPI document has it."""

    error: ErrorFields


RESPONSES: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}}


class ApiError(MuomniError):
    """An error that a client is told.

    Attributes:
        status: of HTTP.
        param: the parameter that is at fault.
        code: a word for programs.
        headers: to be sent with it.
    """

    def __init__(
        self,
        message: str,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.headers = status, param, code, dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """``{"error": …}``."""
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, self.headers)


def api_error(error: Exception, hidden: str = "") -> ApiError:
    """What a client is told of an error.

    Args:
        hidden: the bundle's folder, which is nobody's business.
    """
    if isinstance(error, ApiError):
        return error
    message = str(error)
    if hidden:
        message = message.replace(f"{hidden}: ", "").replace(hidden, "the bundle")
    if isinstance(error, QueueFullError):
        seconds = -(-RETRY_AFTER_MS // 1000)
        headers = {"retry-after-ms": str(RETRY_AFTER_MS), "retry-after": str(seconds)}
        return ApiError(message, 429, code="queue_full", headers=headers)
    if isinstance(error, ContextError):
        return ApiError(message, param="messages", code="context_length_exceeded")
    if isinstance(error, InputError):
        return ApiError(message, code="invalid_value")
    if isinstance(error, StageError):
        return ApiError(message, code="unsupported_by_model")
    if isinstance(error, MissingPackageError):
        return ApiError(message, 501, code="missing_package", headers={"x-should-retry": "false"})
    if isinstance(error, UsageError):  # the server is being stopped
        return ApiError(message, 503, code="stopping", headers={"x-should-retry": "false"})
    log.error("a request failed", exc_info=error)
    # What ONNX Runtime or Python say may name files of this machine.
    return ApiError("the server failed to answer; its log says why", 500, code="internal_error")


def install(app: FastAPI) -> None:
    """Give every error of an application this shape."""

    def hidden() -> str:
        state = getattr(app.state, "server", None)
        return "" if state is None else state.bundle_folder

    async def known(request: Request, error: Exception) -> JSONResponse:
        return api_error(error, hidden()).response()

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return invalid_request(error).response()

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return ApiError(str(error.detail), error.status_code, headers=dict(error.headers or {})).response()

    app.add_exception_handler(MuomniError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, known)


def invalid_request(error: RequestValidationError) -> ApiError:
    """The first thing that is wrong with a request's body."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header")]
    param = ".".join(place) or None
    message = f"{param}: {first['msg']}" if param else str(first["msg"])
    return ApiError(message[:1000], param=param, code="invalid_type")
