"""Where training keeps what it has: atomic checkpoints that a stopped run goes on from."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SAVE_EVERY_S = 180


def save(path: Path, content: dict[str, Any]) -> None:
    """``torch.save`` that a crash cannot leave half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    torch.save(content, temporary)
    temporary.replace(path)


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content


class Average:
    """Exponential moving average of the weights: what is evaluated and exported.

    It makes a constant learning rate good enough to stop at any time, which suits training in sittings. Early on
    the average is over the steps so far, so that it does not remember the initial weights.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {name: p.detach().clone() for name, p in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        for name, value in model.state_dict().items():
            self.weights[name].lerp_(value, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.weights = state["steps"], state["weights"]


class Run:
    """One model in training: weights, optimiser, average, step; saved every few minutes, and when asked to stop.

    The learning rate warms up, stays, and falls to zero over the last fifth of the steps asked for: asking for
    more steps later simply goes on.
    """

    def __init__(
        self,
        path: Path,
        model: nn.Module,
        learning_rate: float,
        steps: int,
        config: dict[str, Any],
        beside: Run | None = None,
    ) -> None:
        """``beside`` is trained in the same steps, and saved with this one."""
        self.beside = beside
        self.path, self.model, self.learning_rate, self.steps, self.config = (
            path, model, learning_rate, steps, config,
        )  # fmt: skip
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01
        )
        self.average = Average(model)
        self.step = 0
        self._stopped = False
        self._saved_at = time.monotonic()
        self._log = path.with_suffix(".log.jsonl")
        if path.is_file():
            content = load(path)
            if content["config"] != config:
                raise ValueError(
                    f"{path} is of another model ({content['config']}): move it away to begin anew"
                )
            model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.average.load_state_dict(content["average"])
            self.step = content["step"]

    def update(self, loss: Tensor) -> None:
        """One step of the optimiser; saves when it is time."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * schedule(self.step, self.steps)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.model)
        self.step += 1
        if self._stopped or self.step >= self.steps or time.monotonic() - self._saved_at > SAVE_EVERY_S:
            self.save()
        if self._stopped:
            raise SystemExit(f"stopped at step {self.step}; the same command goes on from there")

    def stop_when_asked(self) -> None:
        """On SIGTERM, save after the step under way and exit."""

        def stop(*_: object) -> None:
            self._stopped = True

        signal.signal(signal.SIGTERM, stop)

    def save(self) -> None:
        if self.beside is not None:
            self.beside.save()
        save(
            self.path,
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state_dict(),
                "step": self.step,
                "config": self.config,
            },
        )
        self._saved_at = time.monotonic()

    def log(self, **values: float) -> None:
        line = json.dumps({"step": self.step, "time": round(time.time()), **values})
        with self._log.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


WARM_UP_STEPS = 200
FINAL_SHARE = 0.2


def schedule(step: int, steps: int) -> float:
    """Factor of the learning rate at a step."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    remaining = (steps - step) / max(1.0, FINAL_SHARE * steps)
    return warm * min(1.0, max(0.0, remaining))


def averaged(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The averaged weights and the config of a saved run."""
    content = load(path)
    return content["average"]["weights"], content["config"]
