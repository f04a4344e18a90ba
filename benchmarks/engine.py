"""What the engine promises, measured: a film stalls nobody, a shared prompt is computed once, rows pay.

    python benchmarks/engine.py [--model BUNDLE] [--out benchmarks/results/engine.json]

Prints one JSON object; every figure is the median of interleaved rounds in one process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import muomni
from muomni import Finished, Request
from muomni.bench.machine import describe_machine
from muomni.engine.batch import Ahead
from muomni.models.thinker import Thinker

FILM_SECONDS, FILM_RATE_HZ, FILM_SIZE = 180, 25, (640, 360)
OTHERS = 31
SHARED_TOKENS, OWN_TOKENS = 300, 20
ROWS = (1, 2, 4, 8, 16)


def make_film(path: Path) -> None:
    """Three minutes of moving noise, as MP4."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FILM_RATE_HZ)
        stream.width, stream.height = FILM_SIZE
        rng = np.random.default_rng(0)
        frames = [rng.integers(0, 255, (FILM_SIZE[1], FILM_SIZE[0], 3), dtype=np.uint8) for _ in range(8)]
        for index in range(FILM_SECONDS * FILM_RATE_HZ):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frames[index % 8], format="rgb24")))
        container.mux(stream.encode())


def stalls(omni: muomni.Omni, film: Path) -> dict[str, float]:
    """The longest wait between two steps of 31 replies, while a film is opened and watched beside them."""
    with Ahead(omni._models, threads=1) as ahead:
        ahead.put(0, Request("What happens?", video=film))
        engine = omni.engine(OTHERS + 1)
        waits: list[float] = []
        before = time.perf_counter()
        begun = before
        while ahead.running:
            while not engine.full:
                engine.add(Request("Tell me something about the sea.", max_new_tokens=64), ignore_eos=True)
            engine.step()
            now = time.perf_counter()
            waits.append(now - before)
            before = now
        spent = time.perf_counter() - begun
    ordered = sorted(waits)
    return {
        "film_s": round(spent, 3),
        "steps": len(waits),
        "median_ms": round(1000 * statistics.median(waits), 3),
        "p99_ms": round(1000 * ordered[int(len(ordered) * 0.99)], 3),
        "longest_ms": round(1000 * ordered[-1], 3),
    }


def shared_prefix(omni: muomni.Omni, rounds: int) -> dict[str, float]:
    """First token of a prompt of 320 tokens whose first 300 were seen, against one of 20."""
    rng = np.random.default_rng(0)
    vocabulary = omni.thinker.stage.vocabulary
    context = omni.thinker.stage.context_length
    shared = min(SHARED_TOKENS, context - OWN_TOKENS - 8)

    def ids(count: int) -> list[int]:
        return [int(i) for i in rng.integers(3, vocabulary, count)]

    def first_token(prompt: list[int]) -> float:
        from muomni.engine.prompt import Prompt

        engine = omni.engine(1)
        engine.add(Request("-", max_new_tokens=2), prompt=Prompt(None, prompt), ignore_eos=True)
        while not engine.idle:
            for _, event in engine.step():
                if isinstance(event, Finished):
                    return event.reply.timings["first_token"]
        raise AssertionError("the request failed")

    long = ids(shared)
    first_token(long)
    seen, short, whole = [], [], []
    for _ in range(rounds):
        own = ids(OWN_TOKENS)
        seen.append(first_token([*long, *own]))
        short.append(first_token(own))
        whole.append(first_token([*ids(shared), *own]))
    middle = statistics.median
    return {
        "shared_tokens": shared,
        "with_ms": round(1000 * middle(seen), 3),
        "without_prefix_ms": round(1000 * middle(short), 3),
        "ratio": round(middle(a / b for a, b in zip(seen, short, strict=True)), 3),
        "computed_anew_ms": round(1000 * middle(whole), 3),
    }


def rows(omni: muomni.Omni, rounds: int) -> dict[str, float]:
    """Tokens a second of several rows, in multiples of one row's."""
    one, many = omni._models.thinker(), omni._models.batch_thinker()
    prompt = list(range(3, 67))
    caches = {}
    for count in ROWS:
        thinker: Thinker = one if count == 1 else many
        caches[count] = thinker.start(len(prompt) + 64, count)
        for row in range(count):
            thinker.feed(caches[count], prompt, None, row)
    rates: dict[int, list[float]] = {count: [] for count in ROWS}
    for _ in range(rounds):
        for count, cache in caches.items():
            thinker = one if count == 1 else many
            cache.lengths[:] = len(prompt)
            start = time.perf_counter()
            for _ in range(32):
                thinker.step(cache, [7] * count)
            rates[count].append(32 * count / (time.perf_counter() - start))
    return {
        str(count): round(statistics.median(a / b for a, b in zip(rates[count], rates[1], strict=True)), 2)
        for count in ROWS
    }


def slow_listener(omni: muomni.Omni) -> dict[str, float]:
    """Text and reply, where what is spoken is played in real time."""
    start = time.perf_counter()
    text: list[float] = []
    played = threading.Event()

    def play(samples: np.ndarray) -> None:
        played.wait(len(samples) / rate)

    rate = omni.vocoder.stage.sample_rate_hz
    reply = omni.generate(
        "What is two plus three?",
        speech=True,
        on_audio=play,
        on_text=lambda piece: text.append(time.perf_counter() - start),
    )
    ended = time.perf_counter() - start
    played.set()
    assert reply.speech is not None
    return {
        "speech_s": round(reply.speech.seconds, 2),
        "last_text_ms": round(1000 * text[-1], 1),
        "reply_ms": round(1000 * ended, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    omni = muomni.Omni.load(options.model, device="cpu")
    omni.warm_up()
    result: dict[str, Any] = {"machine": describe_machine()}
    result["rows"] = rows(omni, options.rounds)
    result["shared_prefix"] = shared_prefix(omni, options.rounds)
    if omni.manifest.vision is not None:
        with tempfile.TemporaryDirectory() as folder:
            film = Path(folder) / "film.mp4"
            make_film(film)
            result["film_among_31_others"] = stalls(omni, film)
    if omni.manifest.vocoder is not None:
        result["slow_listener"] = slow_listener(omni)
    text = json.dumps(result, indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
