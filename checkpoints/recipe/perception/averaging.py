"""``python -m recipe.perception.averaging OLD NEW --share 0.5 --out DIR``: the weights between two saved models.

A model that went on from another learns the new and forgets some of the old. Between the two lies one that often does
both, where the second began from the first (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from torch import Tensor

from .saving import AUDIO_FILE, THINKER_FILE, VISION_FILE

Checkpoint = dict[str, dict[str, Tensor]]
"""Part -> name -> weights."""


def average(old: Path, new: Path, share: float, out: Path) -> None:
    """Write what ``old`` holds to ``out``, with weights that lie ``share`` of the way to those of ``new``.

    Raises:
        FileNotFoundError: A file of either model is not there.
        ValueError: The two hold other weights.
    """
    mixed = {name: _between(_read(old / name), _read(new / name), share) for name in _FILES}
    shutil.copytree(old, out, dirs_exist_ok=True)
    for name, checkpoint in mixed.items():
        torch.save(checkpoint, out / name)


_FILES = (VISION_FILE, AUDIO_FILE, THINKER_FILE)


def _read(file: Path) -> Checkpoint:
    checkpoint: Checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    return checkpoint


def _between(old: Checkpoint, new: Checkpoint, share: float) -> Checkpoint:
    shapes = [{(p, n): w.shape for p, part in c.items() for n, w in part.items()} for c in (old, new)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"the models hold other weights: {sorted(shapes[0].items() ^ shapes[1].items())[:3]}"
        )
    return {
        part: {n: torch.lerp(w.float(), new[part][n].float(), share).to(w.dtype) for n, w in weights.items()}
        for part, weights in old.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe.perception.averaging", description=__doc__)
    parser.add_argument("old", type=Path, help="folder of a saved model")
    parser.add_argument("new", type=Path, help="folder of a model that went on from it")
    parser.add_argument("--share", type=float, default=0.5, help="of the way from the old to the new")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    average(args.old, args.new, args.share, args.out)


if __name__ == "__main__":
    main()
