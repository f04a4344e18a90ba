"""Several processes that share a training step: each computes some parts of the loss, the gradients are added.

On a CPU two processes of one thread are faster than one process of two threads: a step is many small operations,
and threads wait for each other after each of them. Started by ``torchrun``; without it there is one worker.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, distributed


def join() -> None:
    """Meet the other processes that ``torchrun`` started, if any."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo")


def wait() -> None:
    """Until all have come here."""
    if distributed.is_initialized():
        distributed.barrier()


def leave() -> None:
    """Part from the others; without this a process may abort as it ends."""
    wait()
    if distributed.is_initialized():
        distributed.destroy_process_group()


def rank() -> int:
    """0 is the worker that logs, evaluates and saves."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def add_gradients(parameters: Sequence[Tensor], stop: bool) -> bool:
    """Sum every parameter's gradient over the workers; whether any of them was asked to stop."""
    if count() == 1:
        return stop
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([*(g.flatten() for g in gradients), torch.tensor([float(stop)])])
    distributed.all_reduce(flat)
    *summed, stops = flat.split([*(p.numel() for p in parameters), 1])
    for parameter, gradient in zip(parameters, summed, strict=True):
        parameter.grad = gradient.view_as(parameter)
    return bool(stops > 0)


def merge(figures: dict[str, float]) -> dict[str, float]:
    """The figures of all workers, with the losses added."""
    if count() == 1:
        return figures
    gathered: list[dict[str, float]] = [{} for _ in range(count())]
    distributed.all_gather_object(gathered, figures)
    merged: dict[str, float] = {}
    for part in gathered:
        for name, value in part.items():
            merged[name] = merged.get(name, 0.0) + value
    return merged
