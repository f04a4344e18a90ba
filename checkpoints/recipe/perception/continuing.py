"""Where a run of a later stage begins: with the encoders of the earlier stages, with a saved model, or with both.

Saved checkpoints lack the training-only heads. Those are linear, so they are fitted to the encoders as they are, which
takes a minute; untrained ones would pull the encoders away from what they know.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
from sentencepiece import SentencePieceProcessor
from torch import nn

from recipe.seeds import generator
from recipe.shards import PicturePool
from recipe.speech_pool import SpeechPool

from . import hearing, seeing
from .hearing import SpeechBatches, hearing_loss
from .model import Perception, half_precision
from .saving import AUDIO_FILE, THINKER_FILE, TOKENIZER_FILE, VISION_FILE
from .seeing import centre_loss, picture_batch

FIT_STEPS, FIT_RATE = 150, 1e-2
FIT_BATCH = 32


def load_stages(model: Perception, folder: Path, all_of_them: bool = True) -> set[str]:
    """The averaged weights that the first two stages left in ``folder``; a stage may be missing if not ``all_of_them``.

    Returns:
        The names of those that were there.

    Raises:
        FileNotFoundError: All are asked for and one is not there.
    """
    loaded = set()
    for name, part in (("seeing", seeing.trained_part(model)), ("hearing", hearing.trained_part(model))):
        if not all_of_them and not (folder / f"{name}.pt").exists():
            continue
        saved = torch.load(folder / f"{name}.pt", map_location="cpu", weights_only=True)
        part.load_state_dict(saved["average"])
        loaded.add(name)
    return loaded


def missing_files(folder: Path) -> list[str]:
    """What :func:`load_checkpoints` and the tokenizer need and ``folder`` lacks."""
    files = (VISION_FILE, AUDIO_FILE, THINKER_FILE, TOKENIZER_FILE)
    return [name for name in files if not (folder / name).is_file()]


def load_checkpoints(model: Perception, folder: Path) -> None:
    """The weights that ``saving.save_checkpoints`` wrote; the training-only heads stay as they are.

    Raises:
        FileNotFoundError: A file of them is not there.
        RuntimeError: They are of other sizes than the recipe's.
    """
    stages: dict[str, nn.Module] = {
        "vit": model.vision, "enc": model.audio, "thinker": model.thinker, "proj_a": model.proj_a,
        "proj_v": model.proj_v,
    }  # fmt: skip
    for file in (VISION_FILE, AUDIO_FILE, THINKER_FILE):
        for name, weights in torch.load(folder / file, map_location="cpu", weights_only=True).items():
            stages[name].load_state_dict({k: v.float() for k, v in weights.items()})


def fit_heads(
    model: Perception,
    tokenizer: SentencePieceProcessor,
    pictures: PicturePool,
    speech: SpeechPool,
    stages: Collection[str],
    device: str,
) -> dict[str, float]:
    """Fit the training-only heads of ``stages`` (``seeing``, ``hearing``); nothing else changes.

    Returns:
        The last step's losses.
    """
    heads = nn.ModuleList()
    if "seeing" in stages:
        heads.append(model.centre_head)
    if "hearing" in stages:
        heads += [model.ctc_head, model.sound_head]
    optimizer = torch.optim.Adam(heads.parameters(), lr=FIT_RATE)
    recordings = SpeechBatches(speech, first=1)
    figures: dict[str, float] = {}
    for step in range(FIT_STEPS):
        rng = generator("train", pictures.seed, "fitting heads", step)
        losses = []
        if "seeing" in stages:
            images, scenes = picture_batch(pictures, rng, 0, FIT_BATCH)
            with torch.no_grad(), half_precision(device):
                _, grid = model.see(images.to(device))
            seen, seen_figures = centre_loss(model, grid.float(), scenes)
            losses.append(seen)
            figures |= seen_figures
        if "hearing" in stages:
            batch = recordings.draw(rng, 0, FIT_BATCH)
            with torch.no_grad(), half_precision(device):
                features = model.audio(batch.mel.to(device))
            heard, heard_figures = hearing_loss(model, tokenizer, features, batch)
            losses.append(heard)
            figures |= heard_figures
        for group in optimizer.param_groups:
            group["lr"] = FIT_RATE * (1 - step / FIT_STEPS)
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
    return figures
