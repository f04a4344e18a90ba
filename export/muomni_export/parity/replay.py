"""Cases of inputs run through a bundle's graphs, and the recording that ships with it. Needs no torch.

A case is a dict of arrays by input name. For the decoders it holds whole sequences and ``chunks``: the number
of positions fed at a time, to which the outputs (B, chunks, …) belong.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import DecoderStage
from muomni.errors import BundleError
from muomni.models.registry import Models
from muomni.ort.decoder import Decoder

Arrays = dict[str, NDArray[Any]]


def difference(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """How far two arrays are apart.

    Floats: the largest |expected - got|, relative to the largest |expected| where that is above 1.
    Integers: the share that differs. Another shape or a NaN is infinitely far.
    """
    if expected.shape != got.shape:
        return float("inf")
    if np.issubdtype(expected.dtype, np.integer):
        return float(np.mean(expected != got))
    if not np.isfinite(got).all():
        return float("inf")
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    return float(np.abs(expected - got).max(initial=0.0)) / scale


RANKED = 8  # logits that a drafting head must have right


def ranked_difference(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """How far apart the logits (…, V) are at the tokens that ``expected`` ranks first; see :func:`difference`."""
    if expected.shape != got.shape:
        return float("inf")
    best = np.argsort(expected, axis=-1)[..., -RANKED:]
    return difference(np.take_along_axis(expected, best, -1), np.take_along_axis(got, best, -1))


def run_case(stages: Models, graph: str, case: Arrays) -> Arrays:
    """Outputs of a graph for one case; the decoders run through the cached decode loop."""
    manifest = stages.bundle.manifest
    for stage in manifest.decoders:
        if stage.graph == graph:
            return _run_decoder(stages, stage, case)
    return stages.sessions.of(graph).run(case)


def _run_decoder(stages: Models, stage: DecoderStage, case: Arrays) -> Arrays:
    decoder = Decoder(stage.graph, stages.sessions.of(stage.graph), stage)
    media = case.get("media_embeds")
    by_position = {spec.name for spec in decoder.step_inputs if spec.axes[1] == "S"}
    stepwise = {name: array for name, array in case.items() if name in by_position}
    always = {name: case[name] for name in case.keys() - by_position - {"chunks", "media_embeds"}}
    state = decoder.start(len(next(iter(stepwise.values()))))
    rows: list[Arrays] = []
    at = 0
    for chunk in case["chunks"].tolist():
        media_count = media.shape[1] if media is not None and at == 0 else 0
        take = chunk - media_count
        feeds: Arrays = {name: array[:, at : at + take] for name, array in stepwise.items()} | always
        if media is not None:
            feeds["media_embeds"] = media[:, :media_count]
        rows.append({name: array.copy() for name, array in decoder.feed(state, chunk, feeds).items()})
        at += take
    return {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]}


def write_recording(path: Path, recorded: dict[str, tuple[Arrays, Arrays]]) -> None:
    """Store, for each graph, one case and the outputs torch gave."""
    flat = {
        f"{graph}/{kind}/{name}": array
        for graph, (case, outputs) in recorded.items()
        for kind, arrays in (("in", case), ("out", outputs))
        for name, array in arrays.items()
    }
    np.savez_compressed(path, **flat)  # type: ignore[arg-type]


def read_recording(path: Path) -> dict[str, tuple[Arrays, Arrays]]:
    """What :func:`write_recording` wrote.

    Raises:
        BundleError: the file is not a recording.
    """
    recorded: dict[str, tuple[Arrays, Arrays]] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                graph, kind, name = key.split("/")
                case, outputs = recorded.setdefault(graph, ({}, {}))
                (case if kind == "in" else outputs)[name] = file[key]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise BundleError(f"{path}: not a recording ({error})") from error
    return recorded


def replay(stages: Models) -> dict[str, float]:
    """Run the bundle's recording; the difference by graph."""
    bundle = stages.bundle
    recorded = read_recording(bundle.file(bundle.manifest.recording))
    differences = {}
    for graph, (case, outputs) in recorded.items():
        got = run_case(stages, graph, case)
        compare = ranked_difference if bundle.manifest.drafts(graph) else difference
        differences[graph] = max(compare(expected, got[name]) for name, expected in outputs.items())
    return differences
