"""``python -m recipe.perception.checking``: the abilities of the model in training, before anything is exported.

The same cases and scores as ``recipe.evaluate``, answered with torch from the averaged weights of the last save.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from recipe import DEFAULT_STATE
from recipe.abilities import ABILITIES, what_is_missing
from recipe.cases import CaseMaker
from recipe.evaluate import line, measure
from recipe.tokenizer import load_tokenizer

from .model import Perception
from .replying import Replier


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe.perception.checking", description=__doc__)
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE)
    parser.add_argument("--split", choices=("dev", "evaluation"), default="dev")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--ability", action="append", choices=tuple(ABILITIES))
    parser.add_argument("--mistakes", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    state = args.state.expanduser()
    saved = torch.load(state / "perception/answering.pt", map_location="cpu", weights_only=True)
    model = Perception()
    model.load_state_dict(saved["average"])
    model.eval()
    print(f"step {saved['step']}")
    replier = Replier(model, load_tokenizer(state / "tokenizer.model"))
    maker = CaseMaker(args.split, args.seed)
    for ability in args.ability or [a for a in ABILITIES if not what_is_missing(a)]:
        result = measure(replier, maker, ability, args.samples)
        print(line(result), result.wrong_by_kind, flush=True)
        if args.mistakes:
            for question, expected, got in result.mistakes:
                print(f"    {question!r}: expected {expected!r}, got {got!r}")


if __name__ == "__main__":
    main()
