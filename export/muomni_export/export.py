"""A checkpoint to a bundle: read, trace, describe, check, and only then give the folder its name."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import muomni
from muomni.bundle.contract import graph_contracts
from muomni.bundle.folder import open_bundle, sha256_of
from muomni.bundle.manifest import (
    MANIFEST_NAME,
    READS_WITH,
    SCHEMA_VERSION,
    FileEntry,
    GraphEntry,
    GriffinLimVocoder,
    Manifest,
    SourceEntry,
    TokenizerEntry,
)
from muomni.errors import CheckpointError, InputError
from muomni.models.registry import Models
from muomni.ort.threads import thread_policy

from .checkpoint.checkpoint_set import read_checkpoint
from .checkpoint.load import Modules, load_modules
from .onnx.draft_head import CANDIDATES, add_draft_head
from .onnx.precision import TOLERANCES, PrecisionPlan, apply
from .onnx.trace import OPSET
from .output_folder import check_target, put_in_place, temporary_folder
from .parity.compare import of_a_drafting_head, require
from .parity.replay import write_recording
from .stages.build import GraphBuild, graph_builds
from .stages.describe import (
    AUDIO_FILTERS,
    PHONEMES,
    RESIDUAL_BY_BASE,
    VOCODER_FILTERS,
    audio_stage,
    codec_stage,
    prompt_entry,
    talker_stage,
    thinker_stage,
    vision_stage,
    vocoder_stage,
)

RECORDING_NAME = "parity.npz"
TOKENIZER_NAME = "tokenizer.model"

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
    notes: tuple[str, ...]
    total_bytes: int


def export_bundle(
    checkpoint: Path,
    out: Path,
    config: Path | None = None,
    precision: str = "fp32",
    force: bool = False,
    progress: Progress = lambda line: None,
    draft_head: bool = False,
) -> ExportReport:
    """Convert a checkpoint to a bundle.

    Args:
        checkpoint: an ``omni_sft_*`` folder, a stage folder, or a folder with ``model.safetensors``.
        out: the bundle's folder; it must not exist, or be empty, unless ``force`` replaces a bundle.
        config: the config to read instead of the one found from the checkpoint.
        precision: ``fp32``, ``fp16``, ``int8``, ``int4``, or a default with exceptions by graph, such as
            ``int8,thinker=int4``.
        progress: called with a line per step.
        draft_head: the Thinker's head drafts in 4 bits and computes the likeliest logits exactly, see
            :mod:`muomni_export.onnx.draft_head`.

    Raises:
        CheckpointError: the checkpoint is missing, unreadable or does not fit.
        ParityError: a graph differs from its module; nothing is left behind.
        InputError: an unknown precision, a drafting head for a quantised Thinker or none, or ``out`` is
            taken.
        OutputError: the folder cannot be written.
    """
    plan = PrecisionPlan.parse(precision)
    check_target(out, force)
    target = Path(os.path.realpath(out))  # through a link, and for a name where the path ends in a dot
    progress(f"reading {checkpoint}")
    read = read_checkpoint(checkpoint, config)
    modules = load_modules(read)
    for note in modules.notes:
        progress(f"note: {note}")
    portable = replace(modules, notes=tuple(_portable(note, read.root, config) for note in modules.notes))
    with temporary_folder(target) as folder:
        rows = _write(folder, portable, checkpoint, plan, precision, draft_head, progress)
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
    builds = graph_builds(modules)
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
    contracts = graph_contracts(manifest)
    seconds: dict[str, float] = {}
    recorded = {}
    for build in builds:
        progress(f"{build.graph}: tracing")
        start = time.perf_counter()
        path = folder / manifest.graphs[build.graph].file
        build.write(contracts[build.graph], path)
        if manifest.drafts(build.graph) and manifest.thinker is not None:
            add_draft_head(path, manifest.thinker.draft_candidates)
        apply(path, plan.of(build.graph))
        recorded[build.graph] = build.check.record()
        seconds[build.graph] = time.perf_counter() - start
    if modules.tokenizer is not None:
        shutil.copyfile(modules.tokenizer, folder / TOKENIZER_NAME)
    _write_filters(folder, manifest)
    _write_text_input(folder, modules, half=plan.of("talker") != "fp32")
    write_recording(folder / RECORDING_NAME, recorded)
    for file in folder.iterdir():
        file.chmod(0o644)  # onnx makes its data files readable to their owner alone

    manifest = replace(manifest, files=_file_entries(folder))
    (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    stages = Models(open_bundle(folder), "cpu", thread_policy())
    entries, rows = {}, []
    for build in builds:
        progress(f"{build.graph}: comparing with torch")
        start = time.perf_counter()
        measured = build.check.measure(stages)
        entry = manifest.graphs[build.graph]
        require(build.check, measured, entry.tolerance)
        entry = entries[build.graph] = replace(entry, max_error=measured.error, agreement=measured.agreement)
        spent = seconds[build.graph] + time.perf_counter() - start
        size = sum(
            f.bytes for name, f in manifest.files.items() if name in (entry.file, entry.file + ".data")
        )
        rows.append(Row(build.graph, entry, size, spent))
    manifest = replace(manifest, graphs=entries)
    (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return rows


def _manifest(
    modules: Modules, checkpoint: Path, builds: list[GraphBuild], plan: PrecisionPlan, precision: str
) -> Manifest:
    """The manifest without file entries and with errors still to be measured."""
    graphs = {}
    for build in builds:
        chosen = plan.of(build.graph)
        graphs[build.graph] = GraphEntry(
            f"{build.graph}.onnx", build.check.parameters, chosen, 0.0, TOLERANCES[chosen]
        )
    tokenizer = None
    if modules.tokenizer is not None:
        tokenizer = TokenizerEntry(TOKENIZER_NAME, _pieces(modules.tokenizer), unk_id=0, bos_id=1, eos_id=2)
    return Manifest(
        schema_version=SCHEMA_VERSION,
        reads_with=READS_WITH,
        muomni_version=muomni.__version__,
        opset=OPSET,
        precision=precision,
        source=SourceEntry(
            checkpoint=checkpoint.resolve().name,
            files={stage: f"{file.name} {sha256_of(file)}" for stage, file in modules.sources.items()},
            notes=modules.notes,
        ),
        files={},
        graphs=graphs,
        prompt=prompt_entry(modules),
        recording=RECORDING_NAME,
        tokenizer=tokenizer,
        thinker=thinker_stage(modules),
        vision=vision_stage(modules),
        audio=audio_stage(modules),
        talker=talker_stage(modules),
        codec=codec_stage(modules),
        vocoder=vocoder_stage(modules),
    )


def _with_draft_head(manifest: Manifest, plan: PrecisionPlan) -> Manifest:
    thinker = manifest.thinker
    if thinker is None:
        raise InputError("--draft-head: the checkpoint has no Thinker, whose head could draft")
    if (chosen := plan.of(thinker.graph)).startswith("int"):
        raise InputError(
            f"--draft-head: expected fp32 or fp16 for the Thinker, got {chosen}, whose head is fast already"
        )
    return replace(manifest, thinker=replace(thinker, draft_candidates=min(CANDIDATES, thinker.vocabulary)))


def _pieces(tokenizer: Path) -> int:
    import sentencepiece

    return int(sentencepiece.SentencePieceProcessor(model_file=str(tokenizer)).get_piece_size())


def _write_filters(folder: Path, manifest: Manifest) -> None:
    """Mel filters as the models were trained with them; librosa is the standard for both kinds."""
    import librosa  # takes a second to import

    if manifest.audio is not None:
        mel = manifest.audio.mel
        # HTK scale without area normalisation: torchaudio's MelSpectrogram defaults.
        bank = librosa.filters.mel(
            sr=mel.sample_rate_hz, n_fft=mel.n_fft, n_mels=mel.bins, htk=True, norm=None
        )
        np.save(folder / AUDIO_FILTERS, np.ascontiguousarray(bank.T, dtype=np.float32))
    vocoder = manifest.vocoder
    if isinstance(vocoder, GriffinLimVocoder):
        # The reference's Griffin-Lim inverts librosa's default (Slaney) filters.
        bank = librosa.filters.mel(sr=vocoder.sample_rate_hz, n_fft=vocoder.n_fft, n_mels=vocoder.mel_bins)
        np.save(folder / VOCODER_FILTERS, np.ascontiguousarray(bank.T, dtype=np.float32))


def _write_text_input(folder: Path, modules: Modules, half: bool) -> None:
    """The list of phonemes, and the table of a Talker with text input; ``half``: in float16."""
    if modules.inventory is None or modules.talker is None:
        return
    shutil.copyfile(modules.inventory, folder / PHONEMES)
    table = modules.talker.base_to_res.weight.numpy()
    np.save(folder / RESIDUAL_BY_BASE, table.astype(np.float16) if half else table)


def _portable(note: str, root: Path, config: Path | None) -> str:
    """A note without folders of this machine: a bundle is made to be given away."""
    folders = [root, *root.parents[:2]]
    if config is not None:
        folders += config.expanduser().absolute().parents[:2]
    for folder in folders:
        if folder != Path(folder.anchor):
            note = note.replace(f"{folder}{os.sep}", "")

    def name(word: str) -> str:
        return word.rsplit("/", 1)[-1] if word.startswith("/") else word

    return " ".join(name(word) for word in note.split(" "))


def _file_entries(folder: Path) -> dict[str, FileEntry]:
    return {file.name: FileEntry(file.stat().st_size, sha256_of(file)) for file in sorted(folder.iterdir())}
