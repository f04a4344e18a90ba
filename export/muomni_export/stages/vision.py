"""The vision encoder and its projector into the Thinker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from muomni.bundle.manifest import VisionStage
from muomni_export.modules.vision import STEM_STRIDE, VisionEncoder, VisionSizes, image_features
from muomni_export.notes import Note
from muomni_export.parity.compare import GraphCheck, generator, parameters_of, to_numpy
from muomni_export.parity.replay import Arrays

from .decoder import encoder_config
from .evidence import Evidence
from .loading import Loading
from .stage import BATCH, GraphBuild, LoadedStage, StageExport, StateDict, SyntheticStage, training_head
from .thinker import LoadedThinker
from .weights import StageWeights

HEADS, WIDTH = 2, 128  # the reference's


def vision_sizes(weights: StageWeights, notes: list[Note]) -> VisionSizes:
    """Sizes of a vision encoder; its image is the square of patches that the positions are for.

    Raises:
        CheckpointError: tensors that are missing or do not fit together, heads that cannot be known.
    """
    return encoder_sizes(Evidence("vision", weights, notes))


def encoder_sizes(found: Evidence) -> VisionSizes:
    """As :func:`vision_sizes`, from evidence that may be a part of another stage's."""
    stem, of_patches, stride = 0, 3, 1
    if found.has("stem.0.weight"):
        stem, _, _, _ = found.shape("stem.0.weight", 4)
        of_patches, stride = 2 * stem, STEM_STRIDE
    width, channels, patch, patch_width = found.shape("proj.weight", 4)
    if channels != of_patches or patch != patch_width:
        expected, got = f"square patches of {of_patches} channels", (width, channels, patch, patch_width)
        raise found.refuse("proj.weight", expected, f"shape {got}")
    patch *= stride
    _, positions, _ = found.shape("pos", 3)
    side = isqrt(positions - 1)
    if side < 1 or side * side != positions - 1:
        raise found.refuse(
            "pos", "one position for the class and a square of patches", f"{positions} positions"
        )
    found.compare("patch", patch)
    found.compare("img_size", side * patch)
    layers = found.count("blocks.")
    hidden, _ = found.shape("blocks.0.linear1.weight", 2)
    found.compare("d_model", width)
    found.compare("n_layers", layers)
    found.compare("d_ff", hidden)
    heads = found.heads(width, HEADS, WIDTH)
    return VisionSizes(side * patch, patch, width, layers, heads, hidden, stem)


def image_pool(weights: StageWeights, sizes: VisionSizes, notes: list[Note]) -> int:
    """Patches a side that are averaged into one embedding; 0 for the reference's choice, the class feature.

    ``image_embeddings`` of the set's config: ``{"source": "grid", "pool": 2}``; absent, or a source of
    ``"cls"``, is the reference's.

    Raises:
        CheckpointError: another source, or a pool that does not divide the patches of a side.
    """
    found = Evidence("vision", weights, notes)
    said = weights.config.get("image_embeddings")
    if said is None or said == {"source": "cls"}:
        return 0
    side = sizes.image_size // sizes.patch
    pool = said.get("pool") if isinstance(said, dict) and said.get("source") == "grid" else None
    if isinstance(pool, bool) or not isinstance(pool, int) or pool < 1 or side % pool:
        expected = f'{{"source": "cls"}}, or {{"source": "grid", "pool": a divisor of {side}}}'
        raise found.wrong_value("image_embeddings", expected, said)
    return pool


class VisionGraph(nn.Module):
    """Pixels -> class feature, grid features and, with a projector, what the Thinker reads."""

    def __init__(self, encoder: VisionEncoder, projector: nn.Module | None, pool: int) -> None:
        super().__init__()
        self.encoder, self.projector, self.pool = encoder, projector, pool

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        cls, grid = self.encoder(pixels)
        if self.projector is None:
            return cls, grid
        return cls, grid, self.projector(image_features(cls, grid, self.pool))


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


@dataclass(frozen=True)
class LoadedVision(LoadedStage):
    """``pool`` is 0 where the class feature is what the Thinker reads of an image; else so many patches a side are
    averaged into one embedding. ``video_frames`` is None where the config does not say."""

    encoder: VisionEncoder
    projector: nn.Linear | None
    pool: int
    video_frames: int | None

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        projector = {} if self.projector is None else {"vision_projector": self.projector}
        return {"vision": self.encoder, **projector}

    def graphs(self) -> list[GraphBuild]:
        size = self.encoder.sizes.image_size
        return [
            GraphBuild(
                "vision",
                VisionGraph(self.encoder, self.projector, self.pool),
                (torch.zeros(BATCH, 3, size, size),),
                ({0: torch.export.Dim("B")},),
                vision_check(self.encoder, self.projector, self.pool),
            )
        ]

    def manifest_entry(self) -> dict[str, Any]:
        sizes = self.encoder.sizes
        side = sizes.image_size // sizes.patch
        embeddings = (side // self.pool) ** 2 if self.pool else 1
        stage = VisionStage(
            graph="vision",
            image_size=sizes.image_size,
            patch=sizes.patch,
            width=sizes.width,
            patches=sizes.patches,
            embeddings_per_image=0 if self.projector is None else embeddings,
        )
        return {"vision": stage}

    def prompt_entry(self) -> dict[str, Any]:
        return {} if self.video_frames is None else {"video_frames": self.video_frames}


def load(loading: Loading) -> LoadedVision | None:
    if not loading.has("vision"):
        return None
    weights, notes = loading.weights("vision"), loading.notes
    encoder = loading.module("vision", lambda w: VisionEncoder(vision_sizes(w, notes)))
    projector, thinker = None, loading.find(LoadedThinker)
    if thinker is not None and loading.has("vision_projector"):
        to = thinker.width
        projector = loading.module("vision_projector", lambda _: nn.Linear(encoder.sizes.width, to))
    frames = loading.evidence("vision").positive("video_frames")
    return LoadedVision(encoder, projector, image_pool(weights, encoder.sizes, notes), frames)


def _random(sizes: VisionSizes, width: int) -> dict[str, nn.Module]:
    return {"vision": VisionEncoder(sizes), "vision_projector": nn.Linear(sizes.width, width)}


def _config(sizes: VisionSizes) -> dict[str, Any]:
    return {"img_size": sizes.image_size, "patch": sizes.patch, **encoder_config(sizes)}


VISION = StageExport(
    name="vision",
    state_dicts=(
        StateDict("vision", {"vision": ("vit",)}, "vision_encoder", needs="vision_projector"),
        StateDict("vision_projector", {"omni": ("proj_v",)}, "proj_v"),
    ),
    load=load,
    file_stems=("vision",),
    folder_prefix="vision",
    without_it="the model will not read images or video",
    set_keys=("image_embeddings", "video_frames"),
    synthetic=SyntheticStage(
        _random, _config, lambda: {"img_proj": training_head(), "text_proj": training_head()}
    ),
)
