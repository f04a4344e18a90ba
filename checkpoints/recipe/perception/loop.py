"""The training loop: seeded by step, logged, and resumable from one file that is replaced as a whole."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .workers import add_gradients, merge, rank

Loss = Callable[[int], tuple[Tensor, dict[str, float]]]
"""Step number -> loss and figures to log. Everything random in it follows from the step number."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast. The rate warms up, stays, and falls to zero over the last ``decay`` of the steps.

    A flat middle makes the plan extendable: a run stopped there, or given more steps, loses nothing.
    """

    steps: int
    rate: float
    warm_up: int = 300
    decay: float = 0.3
    weight_decay: float = 0.05
    clip: float = 1.0
    ema: float = 0.998

    def rate_at(self, step: int) -> float:
        falling = int(self.steps * (1 - self.decay))
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        if step < falling:
            return self.rate
        return self.rate * max(self.steps - step, 1) / max(self.steps - falling, 1)


def stop_requests() -> list[int]:
    """A list that gets an entry when the process is asked to end (Ctrl-C or kill), instead of ending at once."""
    requests: list[int] = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _: requests.append(received))
    return requests


def optimizers(named: Mapping[str, nn.Parameter], plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside transformer blocks, AdamW for all else (Jordan 2024, "Muon: an optimizer for
    hidden layers"), with updates of one size, so that one rate fits both (Liu et al. 2025, "Muon is scalable").
    """
    inner, decayed, others = [], [], []
    for name, parameter in named.items():
        if parameter.dim() == 2 and "blocks." in name:
            inner.append(parameter)
        elif parameter.dim() >= 2 and "emb" not in name and "pos" not in name:
            decayed.append(parameter)
        else:
            others.append(parameter)
    groups = [
        {"params": decayed, "weight_decay": plan.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98), eps=1e-8)
    if not inner:
        return [adam]
    muon = torch.optim.Muon(inner, plan.rate, plan.weight_decay, adjust_lr_fn="match_rms_adamw")
    return [adam, muon]


class Run:
    """One stage of training: weights, their running average, optimiser, and where they are kept."""

    def __init__(self, name: str, folder: Path, module: nn.Module, plan: Plan, device: str = "cpu") -> None:
        self.name, self.folder, self.module, self.plan, self.device = name, folder, module, plan, device
        folder.mkdir(parents=True, exist_ok=True)
        self.step = 0
        named = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.optimizers = optimizers(named, plan)
        self.parameters = list(named.values())
        self.average = {n: p.detach().clone() for n, p in module.state_dict().items()}
        self._resume()

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.pt"

    @property
    def done(self) -> bool:
        return self.step >= self.plan.steps

    def _resume(self) -> None:
        if not self.file.exists():
            return
        state = torch.load(self.file, map_location=self.device, weights_only=True)
        self.module.load_state_dict(state["model"])
        self.average = state["average"]
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.step = state["step"]

    def save(self) -> None:
        if rank() != 0:
            return
        state = {
            "model": self.module.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
        }
        partial = self.file.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.file)

    def log(self, entry: dict[str, Any]) -> None:
        if rank() != 0:
            return
        line = json.dumps({"stage": self.name, "step": self.step, **entry})
        with (self.folder / f"{self.name}.jsonl").open("a") as out:
            out.write(line + "\n")
        print(line, flush=True)

    @contextlib.contextmanager
    def averaged(self) -> Any:
        """The module with its averaged weights, for evaluation and for the next stage."""
        kept = {n: p.detach().clone() for n, p in self.module.state_dict().items()}
        self.module.load_state_dict(self.average)
        try:
            yield self.module
        finally:
            self.module.load_state_dict(kept)

    def train(
        self,
        loss: Loss,
        evaluate: Callable[[], dict[str, float]],
        *,
        log_every: int = 50,
        evaluate_every: int = 1000,
        save_every_s: float = 180.0,
        until_step: int | None = None,
    ) -> None:
        """Go on to the end of the plan (or to ``until_step``)."""
        end = min(self.plan.steps, until_step or self.plan.steps)
        saved = started = time.monotonic()
        sums: dict[str, float] = {}
        summed = 0
        asked_to_stop = stop_requests()
        while self.step < end:
            rate = self.plan.rate_at(self.step)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.zero_grad(set_to_none=True)
            value, figures = loss(self.step)
            value.backward()
            stopping = add_gradients(self.parameters, bool(asked_to_stop))
            norm = nn.utils.clip_grad_norm_(self.parameters, self.plan.clip)
            if torch.isfinite(norm):
                for optimizer in self.optimizers:
                    optimizer.step()
            self.step += 1
            self._follow()
            summed += 1
            for key, figure in {"loss": float(value.detach()), **figures}.items():
                sums[key] = sums.get(key, 0.0) + figure
            if self.step % log_every == 0:
                means = {k: round(v / summed, 4) for k, v in merge(sums).items()}
                seconds = (time.monotonic() - started) / summed
                self.log({**means, "rate": rate, "seconds_a_step": round(seconds, 3)})
                sums, summed, started = {}, 0, time.monotonic()
            if rank() == 0 and (self.step % evaluate_every == 0 or self.step == end):
                with self.averaged():
                    self.module.eval()
                    self.log({"evaluation": {k: round(v, 4) for k, v in evaluate().items()}})
                    self.module.train()
                started = time.monotonic()
            if stopping:
                self.save()
                raise SystemExit(f"{self.name}: stopped at step {self.step}, saved")
            if time.monotonic() - saved > save_every_s:
                self.save()
                saved = time.monotonic()
        self.save()

    @torch.no_grad()
    def _follow(self) -> None:
        """The running average; it starts quickly, so that it does not remember the random start."""
        keep = min(self.plan.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.module.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)
