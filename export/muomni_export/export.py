"""A checkpoint to a bundle: read, trace, describe, check, and only then give the folder its name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import muomni
from muomni.bundle.contract import graph_contracts
from muomni.bundle.folder import open_bundle, sha256_of
from muomni.bundle.manifest import (
    MANIFEST_NAME,
    READS_WITH,
    SCHEMA_VERSION,
    DecoderStage,
    FileEntry,
    GraphEntry,
    Manifest,
    PromptEntry,
    SourceEntry,
)
from muomni.errors import CheckpointError, InputError
from muomni.models.registry import Models
from muomni.ort.threads import thread_policy

from .checkpoint.checkpoint_set import EVERYTHING, read_checkpoint
from .checkpoint.load import Modules, load_modules
from .checkpoint.selection import Selection
from .notes import Note
from .onnx.draft_head import CANDIDATES, add_draft_head
from .onnx.precision import PrecisionPlan, apply, bound_of, tolerance_of
from .onnx.rows_head import LARGE_HEAD, add_rows_head
from .onnx.trace import OPSET, save, trace
from .output_folder import check_target, put_in_place, temporary_folder
from .parity.compare import of_a_drafting_head, require
from .parity.replay import Arrays, write_recording
from .stages.registry import DECODER_GRAPHS, FLOAT_GRAPHS
from .stages.stage import GraphBuild

DEVICES = ("cpu", "cuda")
RECORDING_NAME = "parity.npz"

PICTURE_QUESTION = "Describe what you see concisely."
PROMPT = PromptEntry(  # the reference's, but for what a stage says of it
    layout="[media] [bos] [text]",
    media_order=("image", "video", "audio"),
    default_picture_question=PICTURE_QUESTION,
    default_audio_question="What did you hear?",
    default_spoken_question=PICTURE_QUESTION,
    video_frames=4,
)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One graph of the summary: its manifest entry, bytes on disk and the seconds it took."""

    graph: str
    entry: GraphEntry
    bytes: int
    seconds: float


@dataclass(frozen=True)
class ExportReport:
    """What an export made."""

    folder: Path
    rows: tuple[Row, ...]
    notes: tuple[Note, ...]
    total_bytes: int


def export_bundle(
    checkpoint: Path,
    out: Path,
    config: Path | None = None,
    precision: str | None = None,
    force: bool = False,
    progress: Progress = lambda line: None,
    draft_head: bool = False,
    selection: Selection = EVERYTHING,
    device: str = "cpu",
) -> ExportReport:
    """Convert a checkpoint to a bundle.

    Args:
        checkpoint: an ``omni_sft_*`` folder, a stage folder, or a folder with ``model.safetensors``.
        out: the bundle's folder; it must not exist, or be empty, unless ``force`` replaces a bundle.
        config: the config to read instead of the one found from the checkpoint.
        precision: ``fp32``, ``fp16``, ``int8``, ``int4``, or a default with exceptions by graph, such as
            ``int8,thinker=int4``. None takes ``fp32``, for CUDA ``fp16``.
        progress: called with a line per step.
        draft_head: the Thinker's head drafts in 4 bits and computes the likeliest logits exactly, see
            :mod:`muomni_export.onnx.draft_head`.
        selection: which stages are exported, and which of their weights.
        device: what the bundle is to run on, ``cpu`` or ``cuda``. For CUDA the decoders compute in float16, and a
            precision without a graph's name is theirs alone; all other graphs are float32.

    Raises:
        CheckpointError: the checkpoint is missing, unreadable or does not fit.
        ParityError: a graph differs from its module; nothing is left behind.
        InputError: an unknown device or precision, one that the device has no kernels for, a drafting head for CUDA,
            for a quantised Thinker or none, or ``out`` is taken.
        OutputError: the folder cannot be written.
    """
    if device not in DEVICES:
        raise InputError(f"device: expected one of {', '.join(DEVICES)}, got {device!r}")
    if draft_head and device == "cuda":
        raise InputError(
            "--draft-head: it saves the CPU reading the whole head for a token, on CUDA it would only add kernels; "
            "leave it out, or export for the CPU (--device cpu)"
        )
    plan = PrecisionPlan.parse(precision, FLOAT_GRAPHS, DECODER_GRAPHS if device == "cuda" else ())
    check_target(out, force)
    target = Path(os.path.realpath(out))  # through a link, and for a name where the path ends in a dot
    progress(f"reading {checkpoint}")
    read = read_checkpoint(checkpoint, config, selection)
    modules = load_modules(read)
    for note in modules.notes:
        progress(f"note: {note}")
    with temporary_folder(target) as folder:
        rows = _write(folder, modules, checkpoint, plan, precision or plan.default, draft_head, progress)
        put_in_place(folder, target)
    total = sum(file.stat().st_size for file in out.iterdir())
    return ExportReport(out, tuple(rows), modules.notes, total)


def _write(
    folder: Path,
    modules: Modules,
    checkpoint: Path,
    plan: PrecisionPlan,
    precision: str,
    draft_head: bool,
    progress: Progress,
) -> list[Row]:
    builds = modules.graphs()
    if not builds:
        raise CheckpointError(f"{checkpoint}: nothing to export")
    plan.check([build.graph for build in builds])
    manifest = _manifest(modules, checkpoint, builds, plan, precision)
    if draft_head:
        manifest = _with_draft_head(manifest, plan)
        builds = [
            replace(build, check=of_a_drafting_head(build.check)) if manifest.drafts(build.graph) else build
            for build in builds
        ]
    seconds: dict[str, float] = {}
    recorded: dict[str, tuple[Arrays, Arrays]] = {}
    for build in builds:
        progress(f"{build.graph}: tracing")
        start = time.perf_counter()
        _write_graph(folder, build, manifest, plan)
        recorded[build.graph] = build.check.record()
        seconds[build.graph] = time.perf_counter() - start
    for stage in modules.stages:
        stage.write_files(folder, plan.of)
    write_recording(folder / RECORDING_NAME, recorded)
    for file in folder.iterdir():
        file.chmod(0o644)  # onnx makes its data files readable to their owner alone

    manifest = replace(manifest, files=_file_entries(folder))
    (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    rows = _measure(folder, builds, manifest, seconds, progress)
    manifest = replace(manifest, graphs={row.graph: row.entry for row in rows})
    (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return rows


def _write_graph(folder: Path, build: GraphBuild, manifest: Manifest, plan: PrecisionPlan) -> None:
    """Trace a graph, rewrite it as asked for, and save it."""
    contract = graph_contracts(manifest)[build.graph]
    inputs, outputs = ([spec.name for spec in specs] for specs in (contract.inputs, contract.outputs))
    model = trace(build.module, build.arguments, build.dynamic_shapes, inputs, outputs)
    if manifest.drafts(build.graph) and manifest.thinker is not None:
        add_draft_head(model, manifest.thinker.draft_candidates)
    if manifest.thinker is not None and manifest.thinker.graph == build.graph:
        elements = manifest.thinker.vocabulary * manifest.thinker.width
        if plan.of(build.graph) == "int8" and not plan.is_for_cuda and elements >= LARGE_HEAD:
            add_rows_head(model)
    apply(model, build.graph, plan, contract)
    save(model, folder / manifest.graphs[build.graph].file)


def _measure(
    folder: Path,
    builds: list[GraphBuild],
    manifest: Manifest,
    seconds: dict[str, float],
    progress: Progress,
) -> list[Row]:
    """Compare every graph in the folder with its torch module; ``seconds`` were spent on each before."""
    models = Models(open_bundle(folder), "cpu", thread_policy())
    contracts = graph_contracts(manifest)
    rows = []
    for build in builds:
        progress(f"{build.graph}: comparing with torch")
        start = time.perf_counter()
        measured = build.check.measure(models)
        entry = manifest.graphs[build.graph]
        require(build.check, measured, entry.tolerance)
        entry = replace(
            entry,
            max_error=measured.error,
            agreement=measured.agreement,
            tolerance=tolerance_of(entry.tolerance, measured.error, contracts[build.graph]),
        )
        spent = seconds[build.graph] + time.perf_counter() - start
        size = sum(
            f.bytes for name, f in manifest.files.items() if name in (entry.file, entry.file + ".data")
        )
        rows.append(Row(build.graph, entry, size, spent))
    return rows


def _manifest(
    modules: Modules, checkpoint: Path, builds: list[GraphBuild], plan: PrecisionPlan, precision: str
) -> Manifest:
    """The manifest without file entries and with errors still to be measured."""
    graphs = {}
    for build in builds:
        chosen = plan.of(build.graph)
        graphs[build.graph] = GraphEntry(
            f"{build.graph}.onnx",
            build.check.parameters,
            chosen,
            0.0,
            0.0,
            compute_dtype=plan.computes_in(build.graph),
        )
    prompt = PROMPT
    entries: dict[str, Any] = {}
    for stage in modules.stages:
        prompt = replace(prompt, **stage.prompt_entry())
        entries |= stage.manifest_entry()
    for name, entry in entries.items():
        if isinstance(entry, DecoderStage):
            entries[name] = replace(entry, cache_dtype=plan.computes_in(entry.graph))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        reads_with=READS_WITH,
        muomni_version=muomni.__version__,
        opset=OPSET,
        precision=precision,
        source=SourceEntry(
            checkpoint=checkpoint.resolve().name,
            files={name: f"{file.name} {sha256_of(file)}" for name, file in modules.sources.items()},
            notes=tuple(note.portable() for note in modules.notes),
        ),
        files={},
        graphs=graphs,
        prompt=prompt,
        recording=RECORDING_NAME,
        **entries,
    )
    contracts = graph_contracts(manifest)
    bounded = {
        graph: replace(entry, tolerance=bound_of(entry.precision, contracts[graph]))
        for graph, entry in graphs.items()
    }
    return replace(manifest, graphs=bounded)


def _with_draft_head(manifest: Manifest, plan: PrecisionPlan) -> Manifest:
    thinker = manifest.thinker
    if thinker is None:
        raise InputError("--draft-head: the checkpoint has no Thinker, whose head could draft")
    if (chosen := plan.of(thinker.graph)).startswith("int"):
        raise InputError(
            f"--draft-head: expected fp32 or fp16 for the Thinker, got {chosen}, whose head is fast already"
        )
    return replace(manifest, thinker=replace(thinker, draft_candidates=min(CANDIDATES, thinker.vocabulary)))


def _file_entries(folder: Path) -> dict[str, FileEntry]:
    return {file.name: FileEntry(file.stat().st_size, sha256_of(file)) for file in sorted(folder.iterdir())}
