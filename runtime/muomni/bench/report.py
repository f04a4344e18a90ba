"""The measurement as a whole, and as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from muomni import __version__
from muomni.bundle.folder import open_bundle
from muomni.omni import Omni

from .against import compare, load_opponent
from .decoding import ThinkerRun, steps_by_context
from .limit import measure_limit
from .machine import describe_machine, folder_bytes, installed_bytes
from .processes import peak_rss_mb, start_seconds
from .stages import measure_requests, measure_stages, scaled
from .statistics import summarise

Progress = Callable[[str], None]
MB = 2**20


def measure(
    folder: Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    rounds: int = 5,
    against: str | None = None,
    checkpoint: Path | None = None,
    progress: Progress = lambda line: None,
) -> dict[str, Any]:
    """Measure everything a bundle can do; what it lacks is left out of the result."""
    omni = Omni.load(folder, device=device, threads=threads)
    manifest = omni.manifest
    opponent = None
    if against is not None and checkpoint is not None:
        opponent = load_opponent(against, checkpoint, omni.threads)
    result: dict[str, Any] = {"muomni": __version__, "machine": describe_machine(), "rounds": rounds}
    result["bundle"] = {
        "name": folder.resolve().name,
        "mb": round(folder_bytes(folder) / MB, 2),
        "precision": {name: graph.precision for name, graph in manifest.graphs.items()},
        "parameters": {name: graph.parameters for name, graph in manifest.graphs.items()},
    }
    installed = installed_bytes()
    result["installed_mb"] = {name: round(size / MB, 1) for name, size in installed.items()}
    result["installed_mb"]["total"] = round(sum(installed.values()) / MB, 1)
    if manifest.thinker is not None:
        progress("Thinker: prefill, decode")
        result["thinker"] = _thinker(omni, rounds)
        if opponent is not None:
            progress(f"Thinker against {against}")
            result["against"] = {against: compare(ThinkerRun(omni.thinker), opponent, rounds)}
        progress("limit")
        result["limit"] = measure_limit(open_bundle(folder), result["thinker"]["decode_tokens_per_s"])
    progress("stages")
    result["stages"] = measure_stages(omni, rounds)
    speech = result["stages"].pop("speech", None)
    if speech is not None:
        result["speech"] = {"real_time_factor": speech["median"], "real_time_factors": speech}
    if manifest.thinker is not None and manifest.tokenizer is not None:
        progress("requests")
        result["requests"] = measure_requests(omni, rounds)
        progress("processes: start, memory")
        start = start_seconds(folder, device, threads, rounds)
        result["start"] = {
            "process_s": round(start["process"].median, 4),
            "imports_s": round(start["imports"].median, 4),
            "ratio": round(start["process"].median / start["imports"].median, 3),
        }
        text = peak_rss_mb(folder, device, threads, everything=False)
        whole = peak_rss_mb(folder, device, threads, everything=True)
        result["memory"] = {"peak_rss_mb": round(text, 1), "peak_rss_all_stages_mb": round(whole, 1)}
    result["threads"] = {"most": omni.threads, "chosen": threads}
    result["providers"] = omni.providers
    return result


def _thinker(omni: Omni, rounds: int) -> dict[str, Any]:
    run = ThinkerRun(omni.thinker)
    run.once()
    run.forget()
    for _ in range(rounds):
        run.once()
    contexts = steps_by_context(omni.thinker, max(1, rounds // 2))
    prefill = scaled(run.prefill_seconds, 1000)
    return {
        "prompt_tokens": run.prompt_tokens,
        "new_tokens": run.new_tokens,
        "decode_tokens_per_s": round(summarise(run.round_rates).median, 1),
        "decode_tokens_per_s_best": round(max(run.round_rates), 1),
        "step_ms": scaled(run.step_seconds, 1000).to_json(),
        "first_token_ms": round(prefill.median, 3),
        "prefill_ms": prefill.to_json(),
        "tokens_per_s_by_context": {str(n): round(1 / s.median, 1) for n, s in contexts.items()},
    }


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines for a reader: one figure a line, headed by its section."""
    for section, values in result.items():
        if isinstance(values, Mapping):
            yield f"{section}"
            yield from _rows(values, "  ")
        else:
            yield f"{section:<40}{_text(values)}"


def _rows(values: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in values.items():
        label = indent + name.replace("_", " ")
        if isinstance(value, Mapping) and "median" in value:
            known = (f"{k} {_text(v)}" for k, v in value.items() if v is not None)
            yield f"{label:<40}{', '.join(known)}"
        elif isinstance(value, Mapping):
            yield label
            yield from _rows(value, indent + "  ")
        else:
            yield f"{label:<40}{_text(value)}"


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return (
        f"{value:,}"
        if isinstance(value, (int, float))
        else ("chosen by muomni" if value is None else str(value))
    )
