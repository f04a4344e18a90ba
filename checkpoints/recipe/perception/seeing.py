"""Stage one: the vision encoder learns what has its centre in each patch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recipe.pictures import picture, pixels
from recipe.seeds import Split, generator
from recipe.shards import PICTURE_SHARD, PicturePool, training_scene
from recipe.unknown_pictures import unknown_picture
from recipe.world.lexicon import COLOURS, SHAPES, SIZES
from recipe.world.scene import NO_SCENE, Scene, Thing, draw_scene

from .model import Perception, half_precision

NEW_SHARD_EVERY = 120  # steps; a picture is seen about twice while few exist, less when many do
MAX_SHARDS = 40
UNKNOWN_ONE_IN = 8  # pictures of a batch hold nothing of the world
INSIDE = 0.7  # of a thing's radius: patches with their middle nearer its centre are part of it


def centre_labels(scenes: list[Scene], side: int) -> dict[str, Tensor]:
    """Patches that hold centres: ``patch`` indexes the flattened (B·N), with what is there."""
    patch, place = [], []
    for b, scene in enumerate(scenes):
        for t in scene.things:
            column, row = min(int(t.x * side), side - 1), min(int(t.y * side), side - 1)
            patch.append(b * side * side + row * side + column)
            place.append((t.x, t.y))
    kinds = torch.tensor([kind_of(t) for scene in scenes for t in scene.things])
    labels = {"patch": torch.tensor(patch), "place": torch.tensor(place)}
    return {**labels, "shape": kinds[:, 0], "colour": kinds[:, 1], "size": kinds[:, 2]}


def kind_of(thing: Thing) -> tuple[int, int, int]:
    return SHAPES.index(thing.shape), COLOURS.index(thing.colour), SIZES.index(thing.size)


def inside_labels(scenes: list[Scene], side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Patches inside things: index into (B·N), kind (n, 3), and weight (a thing's patches weigh 1 together).

    A patch away from the centre must tell what it is part of too. This spreads over many patches what the one in
    the centre would have to learn alone.
    """
    middles = (np.arange(side) + 0.5) / side
    patches, kinds, weights = [], [], []
    for b, scene in enumerate(scenes):
        for t in scene.things:
            reach = INSIDE * t.extent / 2
            near = (middles[:, None] - t.y) ** 2 + (middles[None, :] - t.x) ** 2 <= reach**2
            at = np.flatnonzero(near)
            patches.append(b * side * side + at)
            kinds.append(np.tile(kind_of(t), (len(at), 1)))
            weights.append(np.full(len(at), 1 / max(len(at), 1), np.float32))
    return tuple(torch.from_numpy(np.concatenate(x)) for x in (patches, kinds, weights))  # type: ignore[return-value]


def centre_loss(model: Perception, grid: Tensor, scenes: list[Scene]) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropies of something/nothing over all patches, and of the kind of thing where there is one."""
    side = model.sizes.grid_side
    labels = {k: v.to(grid.device) for k, v in centre_labels(scenes, side).items()}
    inside, kinds, weights = (t.to(grid.device) for t in inside_labels(scenes, side))
    something, *what, place = (t.flatten(0, 1) for t in model.centre_head(grid))
    target = torch.zeros_like(something[:, 0])
    target[labels["patch"]] = 1.0
    at, things = labels["patch"], len(labels["patch"])
    parts = {
        "found": F.binary_cross_entropy_with_logits(something[:, 0], target, reduction="sum") / things,
        "place": 20 * F.mse_loss(place[at], labels["place"].float()),
    }
    for i, name in enumerate(("shape", "colour", "size")):
        parts[name] = F.cross_entropy(what[i][at], labels[name])
        spread = F.cross_entropy(what[i][inside], kinds[:, i], reduction="none")
        parts[f"{name}_inside"] = (spread * weights).sum() / things
    return torch.stack(list(parts.values())).sum(), {k: float(v.detach()) for k, v in parts.items()}


class Seeing:
    """Batches, loss and evaluation of the stage."""

    def __init__(self, model: Perception, pool: PicturePool, batch: int = 48, device: str = "cpu") -> None:
        self.model, self.pool, self.batch, self.device = model, pool, batch, device

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        rng = generator("train", self.pool.seed, "seeing batch", step)
        images, scenes = picture_batch(self.pool, rng, step, self.batch, unknown=self.batch // UNKNOWN_ONE_IN)
        with half_precision(self.device):
            _, grid = self.model.see(images.to(self.device))
        return centre_loss(self.model, grid.float(), scenes)

    @torch.no_grad()
    def evaluate(self, samples: int = 200, split: Split = "dev") -> dict[str, float]:
        """Scenes whose things are all found and right, and nothing else; and parts of it."""
        side = self.model.sizes.grid_side
        exact = things = shapes = colours = sizes = 0
        for first in range(0, samples, 50):
            scenes, images = [], []
            for index in range(first, first + 50):
                rng = generator(split, 0, "seeing", index)
                scenes.append(draw_scene(rng))
                images.append(pixels(picture(scenes[-1], rng), self.model.sizes.vision.image_size))
            _, grid = self.model.see(torch.from_numpy(np.stack(images)).to(self.device))
            something, shape, colour, size, _ = (t.cpu() for t in self.model.centre_head(grid))
            labels = centre_labels(scenes, side)
            at = labels["patch"]
            things += len(at)
            shapes += int((shape.flatten(0, 1)[at].argmax(-1) == labels["shape"]).sum())
            colours += int((colour.flatten(0, 1)[at].argmax(-1) == labels["colour"]).sum())
            sizes += int((size.flatten(0, 1)[at].argmax(-1) == labels["size"]).sum())
            for b, scene in enumerate(scenes):
                best = something[b, :, 0].topk(len(scene.things)).indices
                got = sorted(
                    (int(shape[b, i].argmax()), int(colour[b, i].argmax()), int(size[b, i].argmax()))
                    for i in best
                )
                truth = sorted(
                    (SHAPES.index(t.shape), COLOURS.index(t.colour), SIZES.index(t.size))
                    for t in scene.things
                )
                exact += got == truth
        return {
            "exact": exact / samples,
            "shape": shapes / things,
            "colour": colours / things,
            "size": sizes / things,
        }


def picture_batch(
    pool: PicturePool,
    rng: np.random.Generator,
    step: int,
    count: int,
    first_shards: int = 1,
    unknown: int = 0,
) -> tuple[Tensor, list[Scene]]:
    """``count`` pictures of one of the shards that exist at ``step``, and their scenes.

    The last ``unknown`` of them hold nothing of the world, and their scenes no thing.
    """
    k = int(rng.integers(min(first_shards + step // NEW_SHARD_EVERY, MAX_SHARDS)))
    shard = pool.shard(k)
    chosen = np.sort(rng.choice(PICTURE_SHARD, count - unknown, replace=False))
    scenes = [training_scene(pool.seed, k * PICTURE_SHARD + int(i)) for i in chosen]
    empty = [pixels(unknown_picture(rng)[0], pool.side) for _ in range(unknown)]
    images = np.concatenate((shard[chosen], np.stack(empty))) if empty else shard[chosen]
    return torch.from_numpy(images), scenes + [NO_SCENE] * unknown


def trained_part(model: Perception) -> nn.ModuleDict:
    """The modules this stage trains."""
    return nn.ModuleDict({"vision": model.vision, "centre_head": model.centre_head})
