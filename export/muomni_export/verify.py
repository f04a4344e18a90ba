"""Is a bundle still what was exported? Needs no torch unless a checkpoint is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from muomni.bundle.folder import open_bundle
from muomni.errors import MissingPackageError, ParityError
from muomni.models.registry import Models
from muomni.ort.threads import thread_policy

from .parity.replay import replay


@dataclass(frozen=True)
class VerifiedGraph:
    graph: str
    error: float
    error_at_export: float
    tolerance: float


def verify_bundle(
    bundle: Path, checkpoint: Path | None = None, config: Path | None = None, weights: str = "model"
) -> list[VerifiedGraph]:
    """Check every file's sha256, then every graph.

    Without ``checkpoint``, each graph is run on the inputs recorded at export and compared with what torch
    made of them; with it, with its torch modules on all inputs, as the export does. ``weights``: those of the last
    step (model) or their averages (ema), as at export.

    Raises:
        BundleError: a file changed.
        ParityError: a graph computes something else here; named, with the numbers.
    """
    opened = open_bundle(bundle)
    opened.verify()
    stages = Models(opened, "cpu", thread_policy())
    differences = (
        replay(stages) if checkpoint is None else _against_torch(stages, checkpoint, config, weights)
    )
    rows = []
    for graph, entry in opened.manifest.graphs.items():
        if graph not in differences:
            raise ParityError(f"{graph}: nothing to compare this graph with")
        measured = differences[graph]
        if not measured <= entry.tolerance:
            raise ParityError(
                f"{graph}: differs by {measured:.3g} from the torch module, the tolerance is {entry.tolerance:g} "
                f"(at export it was {entry.max_error:.3g})"
            )
        rows.append(VerifiedGraph(graph, measured, entry.max_error, entry.tolerance))
    return rows


def _against_torch(stages: Models, checkpoint: Path, config: Path | None, weights: str) -> dict[str, float]:
    try:
        from .checkpoint.checkpoint_set import read_checkpoint
        from .checkpoint.load import load_modules
        from .checkpoint.selection import Selection
        from .parity.compare import of_a_drafting_head
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"the package {error.name!r} is missing; comparing with torch needs\n"
            '  pip install "muomni[export,cpu]"'
        ) from error
    builds = load_modules(read_checkpoint(checkpoint, config, Selection.of(weights=weights))).graphs()
    manifest = stages.bundle.manifest
    errors = {}
    for build in builds:
        entry = manifest.graphs.get(build.graph)
        if entry is None:
            continue
        if entry.parameters != build.check.parameters:
            raise ParityError(
                f"{build.graph}: {entry.parameters:,} parameters in the bundle, {build.check.parameters:,} in "
                f"{checkpoint}: the bundle was made from another checkpoint"
            )
        check = of_a_drafting_head(build.check) if manifest.drafts(build.graph) else build.check
        errors[build.graph] = check.measure(stages).error
    return errors
