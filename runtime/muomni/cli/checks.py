"""What ``muomni-doctor`` looks at. Each check gives what it found, and for a problem the fix."""

from __future__ import annotations

import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from muomni import __version__
from muomni.bundle.demo import demo_bundle
from muomni.errors import MuomniError
from muomni.ort.providers import CPU, CUDA

if TYPE_CHECKING:
    from muomni.omni import Omni

OLDEST_PYTHON = (3, 11)
INSTALL_VIDEO = 'pip install "muomni[video]"'
INSTALL_EXPORT = 'pip install "muomni[export]"'

# All of them install the folder `onnxruntime`, so the last one installed overwrites the others.
WHEELS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-silicon",
)
REQUIRED = {"numpy": "numpy", "pillow": "PIL", "sentencepiece": "sentencepiece", "soundfile": "soundfile"}
"""Distribution -> the module to import."""
FOR_EXPORT = ("torch", "onnx", "onnxscript", "librosa", "safetensors")

# The smallest model there is (ONNX opset 17): y = Identity(x), x and y float32 (1,). It shows what a session
# gets where there is no bundle at hand.
PROBE = (
    b"\x08\x08:;"  # ir_version 8; graph of 59 bytes
    b'\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x05probe'  # one node; the graph's name
    b"Z\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01"  # input x
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01"  # output y
    b"B\x04\n\x00\x10\x11"  # opset 17 of the standard operators
)


@dataclass(frozen=True)
class Check:
    """One finding. ``status`` is ``ok``, ``note`` (something optional is missing) or ``problem``."""

    name: str
    status: Literal["ok", "note", "problem"]
    detail: str
    fix: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


def all_checks(model: Path | None, device: str) -> Iterator[Check]:
    """Every check, each made when it is asked for; ``model`` None takes the demo."""
    yield python()
    yield Check("muomni", "ok", __version__, data={"version": __version__})
    yield from required_packages()
    yield wheels()
    yield threads()
    yield session(device)
    yield video()
    yield for_export()
    try:
        folder = model or demo_bundle()
    except MuomniError as error:
        yield Check("bundle", "problem", str(error), "pip install --force-reinstall muomni")
    else:
        yield from bundle(folder, device)


def python() -> Check:
    version = platform.python_version()
    detail, data = f"{version} on {platform.platform()}, {sys.executable}", {"version": version}
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        return Check("Python", "problem", detail, f"install Python {wanted} or newer", data)
    return Check("Python", "ok", detail, data=data)


def required_packages() -> Iterator[Check]:
    for distribution, module in REQUIRED.items():
        try:
            import_module(module)
        except (ImportError, OSError) as error:  # OSError: soundfile without its libsndfile
            fix = f"pip install --force-reinstall {distribution}"
            yield Check(distribution, "problem", f"cannot be imported: {error}", fix)
        else:
            version = _version(distribution) or "no version recorded"
            yield Check(distribution, "ok", version, data={"version": version})


def wheels() -> Check:
    """Exactly one ONNX Runtime wheel must be there."""
    from muomni.ort.providers import INSTALL_LINE, import_onnxruntime

    found = {name: version for name in WHEELS if (version := _version(name))}
    data: dict[str, Any] = {"wheels": found}
    try:
        runtime = import_onnxruntime()
    except MuomniError as error:
        return Check("ONNX Runtime", "problem", _named(found) or "not installed", str(error), data)
    data |= {"version": runtime.__version__, "available_providers": runtime.get_available_providers()}
    detail = f"{_named(found) or runtime.__version__}, offers {', '.join(data['available_providers'])}"
    if len(found) > 1:
        fix = f"keep one:\n  pip uninstall -y {' '.join(found)}\n  {INSTALL_LINE}"
        detail = f"{len(found)} wheels that overwrite each other are installed: {detail}"
        return Check("ONNX Runtime", "problem", detail, fix, data)
    return Check("ONNX Runtime", "ok", detail, data=data)


def threads() -> Check:
    from muomni.ort.threads import available_cores, thread_policy

    try:
        count = thread_policy().most
    except MuomniError as error:
        return Check("threads", "problem", str(error), "unset MUOMNI_THREADS")
    cores = available_cores()
    data = {"threads": count, "cores": cores}
    return Check("threads", "ok", f"up to {count} a session, {cores} cores here", data=data)


def session(device: str) -> Check:
    """What a session really gets, which can be less than what ONNX Runtime offers."""
    from muomni.bundle.contract import GraphContract, TensorSpec
    from muomni.ort.providers import check_device, import_onnxruntime
    from muomni.ort.session import GraphSession
    from muomni.ort.threads import SessionThreads

    x, y = TensorSpec("x", "float32", (1,)), TensorSpec("y", "float32", (1,))
    contract = GraphContract("probe", (x,), (y,))
    try:
        checked = check_device(device)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "probe.onnx")
            file.write_bytes(PROBE)
            providers = GraphSession(file, contract, checked, SessionThreads(1)).providers
        offered = import_onnxruntime().get_available_providers()
    except MuomniError as error:
        return Check("session", "problem", f"device {device!r} cannot be used", str(error))
    data = {"device": device, "providers": providers}
    detail = f"runs on {', '.join(providers)} (device {device!r})"
    if device == "auto" and CUDA in offered and CUDA not in providers:
        fix = 'the CUDA or cuDNN libraries cannot be loaded; install them with\n  pip install "muomni[gpu]"'
        return Check("session", "note", f"{detail}, although CUDA is offered", fix, data)
    return Check("session", "ok", detail, data=data)


def video() -> Check:
    try:
        import_module("av")
    except ImportError:
        detail = "not installed: only animated GIF and WebP can be watched"
        return Check("av (video)", "note", detail, INSTALL_VIDEO, {"version": None})
    version = _version("av")
    return Check("av (video)", "ok", version or "no version recorded", data={"version": version})


def for_export() -> Check:
    """Packages of ``muomni-export``; only looked up, because importing torch takes seconds."""
    found = {name: _version(name) for name in FOR_EXPORT}
    missing = [name for name, version in found.items() if version is None]
    if missing:
        detail = f"without {', '.join(missing)}: not needed to run, only for muomni-export"
        return Check("export", "note", detail, INSTALL_EXPORT, {"versions": found})
    return Check("export", "ok", _named(found), data={"versions": found})


def bundle(folder: Path, device: str) -> Iterator[Check]:
    """The bundle's files against its manifest, then every graph in a session."""
    from muomni.bundle.folder import open_bundle

    try:
        opened = open_bundle(folder)
        opened.verify()
    except MuomniError as error:
        yield Check("bundle", "problem", str(error))
        return
    manifest = opened.manifest
    size = sum(entry.bytes for entry in manifest.files.values())
    stages = manifest.stages
    detail = f"{folder}: {len(manifest.files)} files, {size / 1e6:.1f} MB, every sha256 as in the manifest"
    yield Check("bundle", "ok", detail, data={"files": len(manifest.files), "bytes": size, "stages": stages})
    if manifest.measured:
        figures = (
            f"{m.ability} {100 * m.value:.1f} %{' errors' if m.lower_is_better else ''}"
            for m in manifest.measured
        )
        data = {"abilities": [asdict(m) for m in manifest.measured]}
        yield Check("abilities", "ok", f"as measured after the export: {'; '.join(figures)}", data=data)
    from muomni import Omni

    try:
        omni = Omni.load(folder, device=device)
        for stage in (*(["tokenizer"] if manifest.tokenizer is not None else []), *stages):
            _load(omni, stage)
    except MuomniError as error:
        yield Check("graphs", "problem", str(error))
        return
    used = ", ".join(sorted({providers[0] for providers in omni.providers.values()}))
    detail = f"{', '.join(stages)}: {len(omni.providers)} graphs load and run on {used}"
    yield Check("graphs", "ok", detail, data={"providers": omni.providers})
    if placement := omni.placement:
        yield Check("placement", "ok", placement_line(placement), data={"placement": placement})


def placement_line(placement: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    """Nodes by provider, and which of them the CPU runs beside CUDA."""
    totals = Counter[str]()
    for providers in placement.values():
        totals.update({provider: sum(operators.values()) for provider, operators in providers.items()})
    line = ", ".join(f"{count} nodes on {provider}" for provider, count in totals.most_common())
    beside = [
        f"{graph} {', '.join(sorted(providers[CPU]))}"
        for graph, providers in placement.items()
        if CPU in providers
    ]
    return f"{line} (shapes: {'; '.join(beside)})" if beside else line


def _load(omni: Omni, stage: str) -> None:
    if stage == "talker" and omni.manifest.text_input is None:
        stage = "reference_talker"
    getattr(omni, "audio_encoder" if stage == "audio" else stage)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _named(versions: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
