"""The server as an application of Ray Serve: one engine a replica, behind Ray's proxies."""
# No "from __future__ import annotations": Ray reads the class of the builder's argument from its signature.

import os
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, model_validator
from ray import serve
from ray.serve.config import AutoscalingConfig, BackpressureConfig

from muomni.serve.app import create_app
from muomni.serve.errors import RETRY_AFTER_MS
from muomni.serve.settings import Settings

from .watch import EngineWatch

PROXY_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
PROXY_CALLBACK = "muomni.cluster.proxy.middlewares"
KEY_VARIABLE = "MUOMNI_API_KEY"
HEALTH_PERIOD_S, HEALTH_TIMEOUT_S = 3.0, 5.0
"""Ray replaces a replica after three checks that failed, or did not come back in time."""
AT_WORK = 0.75
"""Share of the slots that the autoscaler aims at: the rest takes a burst while a new replica starts."""


class Arguments(BaseModel):
    """What ``serve run muomni.cluster:app NAME=VALUE …`` takes, and ``args:`` of a configuration file.

    Attributes:
        model: folder of the bundle, the same on every node; None takes ``MUOMNI_MODEL``, or the demo.
        slots: requests that decode together in a replica.
        queue: requests that a replica takes beside them: they wait for a slot. A conversation by voice is one request
            as long as it lasts, and needs a slot only while it is answered.
        waiting: requests that wait at a proxy while all replicas have as many as they take; more are refused (429).
        api_key: key that clients must send, or several; None takes ``MUOMNI_API_KEY`` of where the application is
            built.
        cors, allow_fetch, device: as of ``muomni-serve``.
        num_cpus: cores of a replica, and threads of its graphs.
        min_replicas, max_replicas: bounds of the autoscaler.
        stuck_s: a replica whose engine stays in one step for so long is replaced.
        grace_s: a replica that is stopped may end its requests for so long.

    Example:
        >>> Arguments(slots=8).queue
        64
    """

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    slots: int = Field(16, ge=1)
    queue: int = Field(64, ge=0)
    waiting: int = Field(64, ge=0)
    api_key: str | list[str] | None = Field(None, repr=False)
    cors: str | list[str] = []
    allow_fetch: bool = False
    device: str = "auto"
    num_cpus: float = Field(1, gt=0)
    min_replicas: int = Field(1, ge=1)
    max_replicas: int = Field(4, ge=1)
    stuck_s: float = Field(30.0, gt=0)
    grace_s: float = Field(30.0, ge=0)

    @model_validator(mode="after")
    def _check_replicas(self) -> "Arguments":
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas: expected at least {self.min_replicas}, got {self.max_replicas}")
        return self

    def settings(self) -> Settings:
        """The settings of a replica's server."""
        key = os.environ.get(KEY_VARIABLE) if self.api_key is None else self.api_key
        model = self.model or os.environ.get("MUOMNI_MODEL")
        return Settings(
            model=Path(model) if model else None,
            api_keys=_listed(key or ()),
            cors=_listed(self.cors),
            slots=self.slots,
            queue=self.queue,
            device=self.device,
            threads=max(1, int(self.num_cpus)),
            allow_fetch=self.allow_fetch,
        )


class Replica:
    """One engine and its server. Ray makes it, asks for its health, and lets it end its requests before it stops it."""

    app: FastAPI  # of Ray's wrapper

    def __init__(self, stuck_s: float) -> None:
        self._watch = EngineWatch(stuck_s)

    async def check_health(self) -> None:
        """Called by Ray, in the loop that serves the requests: one that is blocked is noticed as well.

        Raises:
            ExecutionError: the engine failed, or is stuck.
        """
        self._watch.check(self.app.state.server.engine)


def app(args: Arguments) -> Any:
    """Build the application.

    Example:
        >>> serve.run(app(Arguments(slots=8, max_replicas=2)))
    """
    settings = args.settings()
    if not ray.is_initialized():
        # `serve run` without a cluster starts one after this, and its proxies inherit the variable.
        os.environ.setdefault(PROXY_VARIABLE, PROXY_CALLBACK)

    def server() -> FastAPI:
        return create_app(settings)

    deployment = serve.deployment(
        name="muomni",
        max_ongoing_requests=args.slots + args.queue,
        max_queued_requests=args.waiting,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=RETRY_AFTER_MS / 1000),
        autoscaling_config=AutoscalingConfig(
            min_replicas=args.min_replicas,
            max_replicas=args.max_replicas,
            target_ongoing_requests=max(1.0, AT_WORK * args.slots),
        ),
        ray_actor_options={"num_cpus": args.num_cpus},
        health_check_period_s=HEALTH_PERIOD_S,
        health_check_timeout_s=HEALTH_TIMEOUT_S,
        graceful_shutdown_timeout_s=args.grace_s,
        graceful_shutdown_wait_loop_s=min(1.0, args.grace_s),
        max_surge_percent=25,  # a new replica answers before an old one is stopped, where there is room for it
    )
    return deployment(serve.ingress(server)(Replica)).bind(args.stuck_s)


def _listed(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
