"""Graphs against their torch modules, on random inputs of several lengths and batch sizes.

The graphs run through the cached decode loop of :mod:`muomni`; the torch modules run without any cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from muomni.errors import ParityError
from muomni.models.registry import Models
from muomni_export.modules.audio_encoder import AudioEncoder
from muomni_export.modules.thinker import Thinker
from muomni_export.modules.vision import VisionEncoder
from muomni_export.stages.graphs import image_features

from .replay import Arrays, difference, ranked_difference, run_case

SEED = 20_251_124


@dataclass(frozen=True)
class Measured:
    """The largest difference over all cases and, where logits come out, how often the best one is the same."""

    error: float
    agreement: float | None


@dataclass(frozen=True)
class GraphCheck:
    """What one graph is checked on.

    ``reference`` gives the torch module's outputs by name; ``compare`` (case, expected, got) -> difference.
    """

    graph: str
    parameters: int
    cases: list[Arrays]
    reference: Callable[[Arrays], Arrays]
    compare: Callable[[Arrays, Arrays, Arrays], float] | None = None

    def record(self) -> tuple[Arrays, Arrays]:
        """The first (smallest) case and its outputs."""
        return self.cases[0], self.reference(self.cases[0])

    def measure(self, stages: Models) -> Measured:
        """Run every case through the graph and compare."""
        worst, agreed = 0.0, []
        for case in self.cases:
            expected = self.reference(case)
            got = run_case(stages, self.graph, case)
            if self.compare is not None:
                worst = max(worst, self.compare(case, expected, got))
            else:
                worst = max(worst, *(difference(expected[name], got[name]) for name in expected))
            for name in expected:
                if name.endswith("logits") and got[name].shape == expected[name].shape:
                    agreed.append(got[name].argmax(axis=-1) == expected[name].argmax(axis=-1))
        agreement = float(np.mean(np.concatenate([a.ravel() for a in agreed]))) if agreed else None
        return Measured(worst, agreement)


def of_a_drafting_head(check: GraphCheck) -> GraphCheck:
    """The Thinker's check, where only the likeliest logits are exact."""

    def compare(case: Arrays, expected: Arrays, got: Arrays) -> float:
        return ranked_difference(expected["logits"], got["logits"])

    return replace(check, compare=compare)


def require(check: GraphCheck, measured: Measured, tolerance: float) -> None:
    """Raises ParityError when the measured difference exceeds the tolerance."""
    if not measured.error <= tolerance:
        raise ParityError(
            f"{check.graph}: the graph differs from its torch module by {measured.error:.3g} "
            f"(relative to the largest value), the tolerance is {tolerance:g}, on {len(check.cases)} inputs; "
            "nothing was written. Please report this with the sizes of the checkpoint"
        )


def parameters_of(*modules: nn.Module | None) -> int:
    return sum(p.numel() for module in modules if module is not None for p in module.parameters())


def generator() -> np.random.Generator:
    return np.random.default_rng(SEED)


def normal(random: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return random.standard_normal(shape, dtype=np.float32)


def to_numpy(**tensors: Tensor) -> Arrays:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def split_chunks(total: int, *sizes: int) -> NDArray[np.int64]:
    """Chunk sizes: the given ones, then single positions up to ``total``."""
    return np.array([*sizes, *[1] * (total - sum(sizes))], dtype=np.int64)


def thinker_check(thinker: Thinker, text_ids: Sequence[int] = ()) -> GraphCheck:
    """``text_ids`` are ids of real text, on which the agreement of the best token says most."""
    sizes, random = thinker.sizes, generator()
    long = min(sizes.context_length, 160)

    def case(batch: int, media: int, text: int, *chunks: int) -> Arrays:
        return {
            "input_ids": random.integers(0, sizes.vocabulary, (batch, text)),
            "media_embeds": normal(random, batch, media, sizes.decoder.width),
            "chunks": split_chunks(media + text, *chunks),
        }

    def reference(case: Arrays) -> Arrays:
        ids, media = torch.from_numpy(case["input_ids"]), torch.from_numpy(case["media_embeds"])
        last = torch.from_numpy(case["chunks"].cumsum() - 1)
        with torch.inference_mode():
            hidden = thinker.hidden(torch.cat((media, thinker.tok_emb(ids)), dim=1))
            return to_numpy(logits=thinker.lm_head(hidden[:, last]))

    cases = [
        case(1, 2, 6, 5),
        case(1, 0, 1),
        case(1, 0, 12, 4, 5),
        case(2, 0, 9, 4),
        case(3, 5, 7, 9),
        case(1, 0, long, max(1, long - 3)),
    ]
    cases = [case for case in cases if case["chunks"].sum() <= sizes.context_length]
    if text_ids:
        text = np.array([text_ids[:long]], dtype=np.int64)
        media = np.zeros((1, 0, sizes.decoder.width), dtype=np.float32)
        cases.append({"input_ids": text, "media_embeds": media, "chunks": split_chunks(text.shape[1], 1)})
    return GraphCheck("thinker", parameters_of(thinker), cases, reference)


def vision_check(encoder: VisionEncoder, projector: nn.Module | None, pool: int) -> GraphCheck:
    random, size = generator(), encoder.sizes.image_size

    def case(batch: int) -> Arrays:
        levels = random.integers(0, 256, (batch, 3, size, size)).astype(np.float32)
        return {"pixels": levels / np.float32(255)}

    def reference(case: Arrays) -> Arrays:
        with torch.inference_mode():
            cls, grid = encoder(torch.from_numpy(case["pixels"]))
            projected = {} if projector is None else {"embeds": projector(image_features(cls, grid, pool))}
            return to_numpy(cls=cls, grid=grid, **projected)

    return GraphCheck("vision", parameters_of(encoder, projector), [case(n) for n in (1, 2, 5)], reference)


def audio_check(encoder: AudioEncoder, projector: nn.Module | None) -> GraphCheck:
    random, bins = generator(), encoder.sizes.mel_bins

    def case(batch: int, frames: int) -> Arrays:
        # Mel power of speech spans orders of magnitude; so does exp of a normal variate.
        return {"mel": np.exp(2 * normal(random, batch, frames, bins))}

    def reference(case: Arrays) -> Arrays:
        with torch.inference_mode():
            features = encoder(torch.from_numpy(case["mel"]))
            projected = {} if projector is None else {"embeds": projector(features)}
            return to_numpy(features=features, **projected)

    cases = [case(1, 24), case(1, 1), case(2, 57), case(3, 8), case(1, 301)]
    return GraphCheck("audio", parameters_of(encoder, projector), cases, reference)
