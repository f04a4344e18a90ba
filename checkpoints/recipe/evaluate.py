"""``python -m recipe.evaluate --bundle DIR --seed N``: the abilities of an exported bundle, each with one figure.

The bundle runs through the public runtime, without torch. Cases are made from a seed space that training never
uses, with phrasings and (where said) voices that training never uses either.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .abilities import ABILITIES, SPEAKING, what_is_missing
from .cases import AUDIO_RATE_HZ, Case, CaseMaker
from .scoring import Result, error_rate, error_rate_interval, is_right, wilson, word_errors
from .world.lines import NOTHING_REPLIES

if TYPE_CHECKING:
    from muomni import Conversation, Omni, Request

Reply = Callable[[Case], str]
"""Answers a case; the model in training and an exported bundle are measured the same way."""

MISTAKES_KEPT = 12


def measure(reply: Reply, maker: CaseMaker, ability: str, samples: int, first: int = 0) -> Result:
    """One ability on cases ``first … first + samples - 1``."""
    make, target = ABILITIES[ability]
    right, pairs = 0, []
    wrong: Counter[str] = Counter()
    mistakes = []
    for index in range(first, first + samples):
        case = make(maker, index)
        got = reply(case)
        if case.measure == "words":
            pairs.append(word_errors(got, case.expected))
            failed = pairs[-1][0] > 0
        else:
            failed = not is_right_in(case, got)
            right += not failed
        if failed:
            wrong[case.kind] += 1
            mistakes.append((" / ".join(case.turns), case.expected, got))
    if pairs:
        value, (low, high) = error_rate(pairs), error_rate_interval(pairs)
    else:
        value, (low, high) = right / samples, wilson(right, samples)
    kept = tuple(mistakes[:MISTAKES_KEPT])
    by_words = bool(pairs)
    return Result(ability, value, low, high, target, samples, by_words, {}, dict(wrong), kept)


def is_right_in(case: Case, got: str) -> bool:
    if case.measure == "said":
        return not any(is_right(got, reply) for reply in NOTHING_REPLIES.values())
    return any(is_right(got, reply) for reply in (case.expected, *case.also))


class BundleReplier:
    """Answers cases with an exported bundle."""

    def __init__(self, omni: Omni) -> None:
        self.omni = omni

    def __call__(self, case: Case) -> str:
        from muomni import Request

        conversation = self.omni.chat()
        history = [(Request(case.system), "")] if case.system else []
        first, *rest = (*case.before, case)
        text = self._say(conversation, first, history)
        for part in rest:
            text = self._say(conversation, part)
        return text

    def _say(
        self, conversation: Conversation, case: Case, history: Sequence[tuple[Request, str]] = ()
    ) -> str:
        text = ""
        for i, turn in enumerate(case.turns):
            media = {}
            if i == 0:
                media = {
                    "history": history,
                    "images": [case.image] if case.image is not None else [],
                    "audio": (case.audio, AUDIO_RATE_HZ) if case.audio is not None else None,
                    "video": list(case.video) if case.video is not None else None,
                }
            # Recordings longer than the context takes are shortened, as a user would do it; what is lost counts.
            text = conversation.say(turn, truncate=True, **media).text
        return text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe.evaluate", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=int, default=200, help="cases an ability")
    parser.add_argument(
        "--ability", action="append", choices=(*ABILITIES, SPEAKING), help="only this one (repeatable)"
    )
    parser.add_argument("--mistakes", action="store_true", help="show what was wrong")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--record", action="store_true", help="write the figures into the bundle's manifest")
    args = parser.parse_args()
    from muomni import Omni

    omni = Omni.load(args.bundle)
    replier = BundleReplier(omni)
    maker = CaseMaker("evaluation", args.seed)
    results = []
    for ability in args.ability or (*ABILITIES, SPEAKING):
        missing = what_is_missing(ability)
        if missing and args.ability:
            parser.error(f"{ability}: this machine lacks {missing}")
        if missing:
            print(f"{ability}: left out, this machine lacks {missing}", file=sys.stderr)
            continue
        if ability == SPEAKING:
            from .speaking.judge import judge_speech  # needs the judges, which nothing else does

            measured = judge_speech(omni, args.seed, args.samples)
        else:
            measured = [measure(replier, maker, ability, args.samples)]
        results += measured
        for result in measured:
            if not args.json:
                print(line(result), flush=True)
            if args.mistakes:
                for question, expected, got in result.mistakes:
                    print(f"    {question!r}: expected {expected!r}, got {got!r}", file=sys.stderr)
    if args.record:
        record(args.bundle, results, args.seed)
    if args.json:
        print(json.dumps([{**asdict(r), "reached": r.reached} for r in results], indent=1))


def record(bundle: Path, results: Sequence[Result], seed: int) -> None:
    """Put the figures that are shares into the bundle's manifest, instead of those it had of the same abilities."""
    from muomni.bundle.manifest import MANIFEST_NAME, MeasuredEntry, parse_manifest

    path = bundle / MANIFEST_NAME
    text = path.read_text(encoding="utf-8")
    parse_manifest(text, str(path))  # refuses what is no manifest before anything is written
    value = json.loads(text)  # all else stays as it is, keys of a newer muomni included
    new = [
        MeasuredEntry(
            r.ability,
            round(r.value, 4),
            round(r.low, 4),
            round(r.high, 4),
            r.lower_is_better,
            r.samples,
            seed,
        )
        for r in results
        if r.is_share
    ]
    kept = [m for m in value.get("measured", []) if m["ability"] not in {n.ability for n in new}]
    value["measured"] = [*kept, *map(asdict, new)]
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def line(result: Result) -> str:
    written = result.written
    sign = "<=" if result.lower_is_better else ">="
    beside = "".join(f"  {name} {written(value)}" for name, value in result.beside.items())
    return (
        f"{result.ability:42} {written(result.value):>7}  (95 %: {written(result.low)} to {written(result.high)})  "
        f"target {sign} {written(result.target)}  {'reached' if result.reached else 'not reached'}{beside}"
    )


if __name__ == "__main__":
    main()
