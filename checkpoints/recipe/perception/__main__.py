"""``python -m recipe.perception``: train the three stages in order, each from where it stopped.

With ``torchrun --nproc-per-node 2 -m recipe.perception --stage answering`` two processes share the last stage's steps.

Everything is kept in the state folder: weights and optimiser of each stage, a log a line (``*.jsonl``), the
tokenizer, and pools of made pictures and speech. Stop it at any time (Ctrl-C or kill: it saves first) and run the
same command again.
"""

from __future__ import annotations

import argparse
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import torch

from recipe import DEFAULT_STATE
from recipe.abilities import ABILITIES, what_is_missing
from recipe.cases import CaseMaker
from recipe.evaluate import measure
from recipe.shards import PicturePool
from recipe.speech_pool import SpeechPool
from recipe.teachers.readings import SHARDS
from recipe.tokenizer import load_tokenizer

from . import hearing, seeing, workers
from .answering import MAX_SPEECH_SHARDS, Answering
from .continuing import fit_heads, load_checkpoints, load_stages, missing_files
from .loop import Plan, Run
from .model import Perception
from .replying import Replier
from .saving import TOKENIZER_FILE

PLANS = {
    "seeing": Plan(steps=4_000, rate=1e-3),
    "hearing": Plan(steps=6_000, rate=1e-3),
    "answering": Plan(steps=14_000, rate=8e-4),
}
"""On two cores a step takes about 0.5 and 0.4 seconds in one process and, answering, 2.5 in two: eleven hours in all.
``--steps`` shortens the last stage; MEASURED.md has what the model could do after 4,250 and after 11,000.
"""

FROM_STAGE = {"vision": "seeing", "audio": "hearing"}

ONLY_FOR_THE_END = ("joe", "SVG", "another synthesizer", "speech taken")
"""Abilities whose voices and pictures are not looked at while it trains."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe.perception", description=__doc__)
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="folder of the training's state")
    parser.add_argument("--stage", choices=tuple(PLANS), help="train this stage only")
    parser.add_argument("--steps", type=int, help="length of the (last) stage's plan, instead of the default")
    parser.add_argument(
        "--decay", type=float, help="last part of the plan over which the rate falls to zero, instead of 0.3"
    )
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="CHECKPOINTS",
        help="folder of a saved model that hearing or answering goes on from; stages that the state has come first",
    )
    parser.add_argument(
        "--freeze",
        nargs="+",
        choices=("vision", "audio"),
        default=(),
        help="answering leaves these encoders as they are",
    )
    parser.add_argument("--until-step", type=int, help="stop there; the plan stays the same")
    parser.add_argument(
        "--dev-samples", type=int, default=40, help="an ability, when the last stage is evaluated"
    )
    parser.add_argument(
        "--reading-shards",
        type=int,
        default=max(SHARDS.values()),
        metavar="N",
        help="at most so many shards of each stream of the teachers' readings; all by default",
    )
    parser.add_argument(
        "--recording-shards",
        type=int,
        default=MAX_SPEECH_SHARDS,
        metavar="N",
        help="at most so many shards of recordings, which are made of the readings, when it answers",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight")
    torch.set_num_threads(args.threads)
    workers.join()
    if args.start_from and args.stage not in ("hearing", "answering"):
        parser.error("--start-from needs --stage hearing or answering: the first stage begins with nothing")
    if args.start_from and (missing := missing_files(args.start_from)):
        parser.error(
            f"--start-from: {args.start_from} lacks {', '.join(missing)}; expected the folder of a saved model "
            "(demo, or the --out of python -m recipe)"
        )
    if workers.count() > 1 and (workers.count() > 2 or args.stage != "answering"):
        parser.error("two processes can share --stage answering; run the others without torchrun")
    torch.manual_seed(args.seed)
    for stage in PLANS if args.stage is None else (args.stage,):
        plan = PLANS[stage]
        if args.steps and (args.stage or stage == "answering"):
            plan = replace(plan, steps=args.steps, decay=args.decay or plan.decay)
        train_stage(stage, args.state.expanduser(), plan, args)
    workers.leave()


def train_stage(name: str, state: Path, plan: Plan, options: argparse.Namespace) -> None:
    """Go on with one stage; a finished one returns at once."""
    seed, device, until_step = options.seed, options.device, options.until_step
    model = Perception().to(device)
    tokenizer_file = state / "tokenizer.model"
    if options.start_from:
        if workers.rank() == 0 and not tokenizer_file.exists():
            tokenizer_file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(options.start_from / TOKENIZER_FILE, tokenizer_file)
        workers.wait()
    tokenizer = load_tokenizer(tokenizer_file)
    pictures = PicturePool(state / "pools", seed, model.sizes.vision.image_size)
    readings = {stream: min(count, options.reading_shards) for stream, count in SHARDS.items()}
    speech = SpeechPool(state / "pools", seed, state / "teacher", readings, seed)
    folder = state / "perception"
    if not (folder / f"{name}.pt").exists():
        if options.start_from:
            load_checkpoints(model, options.start_from)
        without_heads = {"hearing"}
        if name == "answering":
            without_heads = {"seeing", "hearing"} - load_stages(model, folder, not options.start_from)
        without_heads -= {FROM_STAGE[part] for part in options.freeze}
        if options.start_from and without_heads:
            fitted = fit_heads(model, tokenizer, pictures, speech, without_heads, device)
            print("heads:", fitted, flush=True)
    if name == "seeing":
        see = seeing.Seeing(model, pictures, device=device)
        run = Run(name, folder, seeing.trained_part(model), plan, device)
        run.train(see.loss, see.evaluate, evaluate_every=500, until_step=until_step)
    elif name == "hearing":
        first = hearing.FIRST_SHARDS_IF_IT_HEARS if options.start_from else 1
        hear = hearing.Hearing(model, tokenizer, speech, first=first, device=device)
        run = Run(name, folder, hearing.trained_part(model), plan, device)
        run.train(hear.loss, hear.evaluate, evaluate_every=500, until_step=until_step)
    else:
        answer = Answering(
            model,
            tokenizer,
            pictures,
            speech,
            device=device,
            frozen=options.freeze,
            shards=options.recording_shards,
        )
        run = Run(name, folder, model, plan, device)
        replier = Replier(model, tokenizer, device)

        def evaluate() -> dict[str, float]:
            maker = CaseMaker("dev", seed)
            kept = [a for a in ABILITIES if not any(word in a for word in ONLY_FOR_THE_END)]
            abilities = [a for a in kept if not what_is_missing(a)]
            return {a: measure(replier, maker, a, options.dev_samples).value for a in abilities}

        if not run.done:
            answer.make_first_recordings()
        run.train(answer.loss, evaluate, evaluate_every=2000, until_step=until_step)


if __name__ == "__main__":
    main()
