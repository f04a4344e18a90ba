"""Is it right? Every part on the device against the CPU of the same machine, and against what torch recorded."""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_setup import Setup, say
from muomni import Omni, Reply, Request
from muomni.bench.decoding import fixed_prompt
from muomni.bench.stages import can_hear, can_see, can_speak, example_audio, example_image
from muomni.errors import MuomniError
from muomni.requests import SpeechOptions
from results import equal_before_first_difference, share_equal

TESTS = Path(__file__).parents[1] / "tests" / "runtime"
CACHE_TESTS = (TESTS / "ort" / "test_kv_cache.py", TESTS / "engine" / "test_device_memory.py")
QUESTIONS = ("What is two plus three?", "hello", "What is the capital of France?", "hi", "Name a colour.")
FORCED_TOKENS = 48
FORCED_PROMPT = 16
TOPS = 20
"""Likeliest ids that the CPU tells at each place."""


@dataclass
class Check:
    """What was compared, whether it is as it must be, and the numbers."""

    name: str
    passed: bool
    found: dict[str, Any] = field(default_factory=dict)


def all_checks(setup: Setup) -> Iterator[dict[str, Any]]:
    """Every check, as JSON; one that raises has not passed."""
    checks: dict[str, Callable[[], Check]] = {"tests of the cache": cache_tests}
    for name, bundle in (("demo", setup.demo), ("parity set", setup.parity)):
        for what, compare in (("graphs", graphs), ("teacher-forced", forced), ("replies", replies)):
            checks[f"{name}: {what}"] = partial(_with_bundle, compare, setup, bundle)
    for name, run in checks.items():
        try:
            check = run()
            check.name = name
        except Exception as error:
            traceback.print_exc()
            check = Check(name, False, {"error": f"{type(error).__name__}: {error}"})
        say(f"{'ok   ' if check.passed else 'WRONG'} {name}: {check.found}")
        yield asdict(check)


def _with_bundle(compare: Callable[[Setup, Path], Check], setup: Setup, bundle: Callable[[], Path]) -> Check:
    return compare(setup, bundle())


def cache_tests() -> Check:
    """The tests that run over every memory there is, CUDA's where it is there."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, CACHE_TESTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TESTS.parents[1])
    lines = (done.stdout + done.stderr).strip().splitlines()
    return Check("", done.returncode == 0, {"pytest": lines[-1] if lines else ""})


def graphs(setup: Setup, bundle: Path) -> Check:
    """Every graph on the inputs recorded at export, against what torch made of them."""
    from muomni_export.parity.replay import replay

    with setup.on_device(bundle) as omni:
        entries = omni.manifest.graphs
        errors = replay(omni._models)
    passed = all(errors[graph] <= entry.tolerance for graph, entry in entries.items())
    shares = {graph: round(errors[graph] / entry.tolerance, 3) for graph, entry in entries.items()}
    return Check("", passed, {"error_by_tolerance": shares})


def forced(setup: Setup, bundle: Path) -> Check:
    """The Thinker's choice after each beginning of the CPU's reply; see :func:`allowed_regret`."""
    with setup.on_cpu(bundle) as cpu, setup.on_device(bundle) as device:
        prompt = fixed_prompt(FORCED_PROMPT, cpu.thinker.stage.vocabulary)
        ids = greedy(cpu, prompt)
        wanted, got = (each.thinker.logits([*prompt, *ids[:-1]])[len(prompt) - 1 :] for each in (cpu, device))
        allowed = allowed_regret(cpu, wanted)
        freely = greedy(device, prompt)
    found = agreement(wanted, got)
    found["equal_ids"] = equal_before_first_difference(freely, ids)
    found["ids"] = len(ids)
    return Check("", found["largest_regret"] <= allowed, found)


def allowed_regret(cpu: Omni, logits: NDArray[np.float32]) -> float:
    """How much less likely than the best the CPU may find another choice than its own.

    Both may be off by the graph's tolerance, which is relative to the largest logit. Another choice than the CPU's is
    right where the two are that close, and nowhere else.
    """
    tolerance = cpu.manifest.graphs[cpu.thinker.stage.graph].tolerance
    return 2 * tolerance * max(1.0, float(np.abs(logits).max()))


def greedy(omni: Omni, prompt: list[int], count: int = FORCED_TOKENS) -> list[int]:
    """The likeliest ids after a prompt, whatever the model says."""
    thinker = omni.thinker
    cache = thinker.start(len(prompt) + count)
    ids = [int(thinker.feed(cache, prompt).argmax())]
    while len(ids) < count:
        ids.append(int(thinker.step(cache, ids[-1:])[0].argmax()))
    return ids


def agreement(wanted: NDArray[np.float32], got: NDArray[np.float32]) -> dict[str, Any]:
    """How two runs of logits (n, V) agree.

    ``largest_regret`` is how much less likely, in the first one's logits, the second one's choice is than the best.
    """
    best, chosen = wanted.argmax(axis=1), got.argmax(axis=1)
    rows = np.arange(len(wanted))
    return {
        "agreement": round(share_equal(chosen.tolist(), best.tolist()), 4),
        "largest_difference": float(np.abs(wanted - got).max()),
        "largest_regret": float((wanted[rows, best] - wanted[rows, chosen]).max()),
    }


@dataclass
class Answer:
    """A greedy reply.

    Attributes:
        ids: of text, or codes of speech.
        tops: log probabilities of the likeliest ids at each place, where they were asked for.
        after: of the answer that this one goes on from; where that differs, this one must.
    """

    ids: list[int]
    tops: list[dict[int, float]] = field(default_factory=list)
    after: str = ""


def replies(setup: Setup, bundle: Path) -> Check:
    """Whole replies: text, media, speech, several at a time, a conversation. Every id as the CPU's.

    Where an id is another, the CPU must have found it as good; see :func:`allowed_regret`.
    """
    with setup.on_cpu(bundle) as cpu, setup.on_device(bundle) as device:
        prompt = fixed_prompt(FORCED_PROMPT, cpu.thinker.stage.vocabulary)
        allowed = allowed_regret(cpu, cpu.thinker.logits(prompt))
        wanted, got = asked(cpu, TOPS), asked(device, None)
        half = cpu.manifest.attention_dtypes != {"float32"}
    # No likelihoods of codes are told. In float16 theirs is what the check of the graphs says of the Talker.
    codes = (
        {}
        if not half or "speech" not in wanted
        else {"codes_equal": share(wanted.pop("speech"), got["speech"])}
    )
    check = judged(wanted, got, allowed)
    check.found |= codes
    return check


def share(one: Answer, other: Answer) -> float:
    """Of places with the same id."""
    same = sum(a == b for a, b in zip(one.ids, other.ids, strict=False))
    return round(same / max(len(one.ids), len(other.ids), 1), 3)


def judged(wanted: dict[str, Answer], got: dict[str, Answer], allowed: float) -> Check:
    """How the answers of one compare with those of the other."""
    close: dict[str, float] = {}
    apart: set[str] = set()  # what goes on from another answer
    different: dict[str, list[list[int]]] = {}
    for name, answer in wanted.items():
        other = got[name].ids
        if answer.after in close or answer.after in apart:
            apart.add(name)
            continue
        if answer.ids == other:
            continue
        at = next((i for i, (a, b) in enumerate(zip(answer.ids, other, strict=False)) if a != b), -1)
        top = answer.tops[at] if 0 <= at < len(answer.tops) else {}
        regret = max(top.values()) - top[other[at]] if at >= 0 and other[at] in top else float("inf")
        if regret <= allowed:
            close[name] = regret
        else:
            different[name] = [answer.ids, other]
    found = {"same": len(wanted) - len(close) - len(apart) - len(different), "of": len(wanted)}
    return Check("", not different, found | {"as_good": close, "different": different})


def asked(omni: Omni, tops: int | None) -> dict[str, Answer]:
    """Greedy replies by what was asked."""
    manifest = omni.manifest
    requests = {text: Request(text, max_new_tokens=24, logprobs=tops) for text in QUESTIONS}
    if can_see(manifest):
        requests["image"] = Request(images=[example_image()], max_new_tokens=16, logprobs=tops)
    if can_hear(manifest):
        rate_hz = 16_000 if manifest.audio is None else manifest.audio.mel.sample_rate_hz
        requests["audio"] = Request(audio=example_audio(rate_hz, 2.0), max_new_tokens=16, logprobs=tops)
    found = {name: answer_of(omni.generate(request)) for name, request in requests.items()}
    batch = omni.generate_batch(list(requests.values()), slots=3)
    for name, reply in zip(requests, batch, strict=True):
        if isinstance(reply, MuomniError):
            raise reply
        found[f"{name} among others"] = answer_of(reply)
    chat, before = omni.chat(), ""
    for name, speaker in (*((f"turn: {text}", chat) for text in QUESTIONS[:3]), ("fork", None)):
        reply = (speaker or chat.fork()).say(name, max_new_tokens=16, logprobs=tops)
        found[name] = answer_of(reply, before)
        before = name
    if can_speak(manifest):
        speech = SpeechOptions(temperature=0.0, frames=24)
        spoken = omni.generate(Request(QUESTIONS[0], max_new_tokens=16, speech=speech)).speech
        assert spoken is not None
        found["speech"] = Answer(spoken.codes.ravel().tolist(), after=QUESTIONS[0])
    return found


def answer_of(reply: Reply, after: str = "") -> Answer:
    return Answer(list(reply.token_ids), [dict(token.top) for token in reply.logprobs], after)
