"""Random numbers as a pure function of (split, seed, stream, index).

Every sample of the recipe is made from its own generator, so sample 12345 is the same in whatever order, process
or run it is made: training resumes at a step without replaying the steps before it, and an evaluation set is
named by two integers.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

Split = Literal["train", "dev", "evaluation"]
"""``train`` is learned from; ``dev`` is looked at during training; ``evaluation`` gives the published figures.

The split is part of the key, so no seed of one can give a sample of another. ``dev`` and ``evaluation`` also
use phrasings and voices that ``train`` never sees.
"""


def generator(split: Split, seed: int, stream: str, index: int) -> np.random.Generator:
    """The generator of sample ``index`` of a stream such as ``"chat"`` or ``"speech"``."""
    key = f"{split}/{seed}/{stream}/{index}".encode()
    words = np.frombuffer(hashlib.blake2b(key, digest_size=16).digest(), dtype=np.uint32)
    return np.random.Generator(np.random.PCG64([int(w) for w in words]))


def is_training(split: Split) -> bool:
    return split == "train"
