"""Manifests that parse as JSON and would break a model: each is refused by path, expected, got."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muomni.bundle.contract import graph_contracts
from muomni.bundle.demo import demo_bundle
from muomni.bundle.manifest import MANIFEST_NAME, HifiganVocoder, SpectralVocoder, parse_manifest
from muomni.errors import ManifestError

TEXT = (demo_bundle() / MANIFEST_NAME).read_text(encoding="utf-8")
SPECTRAL = json.loads(TEXT)["vocoder"]
CODES = json.loads(TEXT)["talker"]["codebook_size"]
HIFIGAN = {key: SPECTRAL[key] for key in ("graph", "sample_rate_hz", "hop_samples", "mel_bins")}
HIFIGAN |= {"kind": "hifigan", "normalisation": "utterance_min_max"}
GRIFFIN_LIM = {
    key: value for key, value in SPECTRAL.items() if key not in ("graph", "receptive_field_frames")
}
GRIFFIN_LIM |= {"kind": "griffin_lim", "filters": "audio_mel_filters.npy", "iterations": 32}
Path = tuple[str | int, ...]


def edited(path: str, value: Any) -> str:
    """The demo's manifest with another value at a path; ``...`` takes the key away."""
    manifest = json.loads(TEXT)
    *parents, last = path.split(".")
    node = manifest
    for part in parents:
        node = node[part]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return json.dumps(manifest)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("audio.mel.hop_samples", 0, "audio.mel.hop_samples: expected 1 to 2147483647, got int 0"),
        ("audio.mel.n_fft", 1, "audio.mel.n_fft: expected 2 to"),
        ("audio.mel.window_samples", 2048, "a window that can be centred in n_fft (1024), got int 2048"),
        ("audio.mel.window_samples", 401, "a window that can be centred"),
        (
            "audio.mel.filters",
            "none.npy",
            "audio.mel.filters: expected a file of 'files', got str 'none.npy'",
        ),
        ("audio.max_embeddings", 385, "audio.max_embeddings: expected at most thinker.context_length (384)"),
        ("vision.patch", 7, "vision.patch: expected a divisor of image_size (96), got int 7"),
        ("vision.patches", 143, "vision.patches: expected (image_size / patch)², 144"),
        ("vision.embeddings_per_image", -1, "expected 0 or more, got int -1"),
        ("vision.embeddings_per_image", 145, "expected at most patches (144)"),
        ("vision.graph", "glasses", "vision.graph: expected a graph of 'graphs', got str 'glasses'"),
        ("vision.graph", "audio", "audio.graph: expected a graph of its own, not that of vision.graph"),
        ("thinker.kv_heads", 4, "thinker.heads: expected a multiple of kv_heads (4), got int 6"),
        ("thinker.kv_heads", 0, "thinker.kv_heads: expected 1 to"),
        ("thinker.layers", 10**9, "thinker.layers: expected 1 to 1024"),
        ("thinker.draft_candidates", 1501, "expected at most vocabulary (1500)"),
        ("thinker.cache_dtype", "bfloat16", "expected one of 'float32', 'float16', got str 'bfloat16'"),
        ("thinker.vocabulary", 1499, "tokenizer.pieces: expected at most thinker.vocabulary (1499)"),
        ("tokenizer.eos_id", 1500, "tokenizer.eos_id: expected an id below pieces (1500), got int 1500"),
        ("tokenizer.file", "..", "tokenizer.file: expected a plain name inside the bundle"),
        ("talker.start_codes", [CODES], "expected one code for each of the 2 codebooks, got tuple of 1"),
        (
            "talker.start_codes",
            [CODES, CODES + 1],
            f"talker.start_codes[1]: expected at most {CODES}, got int {CODES + 1}",
        ),
        ("talker.start_codes", [CODES, -1], "talker.start_codes[1]: expected 0 or more"),
        ("talker.frame_rate_hz", 0, "talker.frame_rate_hz: expected 0.01 to"),
        ("talker.frame_rate_hz", 10**400, "talker.frame_rate_hz: expected int of 64 bits"),
        ("talker.frame_rate_hz", math.nan, "talker.frame_rate_hz: expected a finite number, got nan"),
        ("talker.codebooks", 3, "talker.codebooks: expected 2, got int 3"),
        ("talker.codebook_size", 0, "talker.codebook_size: expected 1 to"),
        ("talker.text.context_phonemes", 0, "talker.text.context_phonemes: expected 1 to"),
        ("talker.text.reach", 10, "talker.text: unknown key 'reach'"),
        (
            "codec.codebook_size",
            256,
            f"codec.codebook_size: expected talker.codebook_size ({CODES}), got int 256",
        ),
        ("vocoder.mel_bins", 128, "vocoder.mel_bins: expected codec.mel_bins (80), got int 128"),
        ("vocoder.kind", ..., "vocoder: missing key 'kind'"),
        ("vocoder.kind", "wavenet", "vocoder.kind: expected one of 'hifigan', 'spectral', 'griffin_lim'"),
        ("vocoder.kind", "hifigan", "vocoder: unknown key 'n_fft'"),
        ("vocoder.graph", ..., "vocoder: missing key 'graph'"),
        ("vocoder.receptive_field_frames", ..., "vocoder: missing key 'receptive_field_frames'"),
        ("vocoder.receptive_field_frames", 1, "expected at least the 2 frames that overlap, got int 1"),
        ("vocoder.hop_samples", 513, "vocoder.hop_samples: expected at most n_fft / 2 (512), got int 513"),
        (
            "vocoder.normalisation",
            "utterance_min_max",
            "vocoder.normalisation: expected one of 'fixed_range'",
        ),
        ("vocoder", {**GRIFFIN_LIM, "filters": ...}, "vocoder: missing key 'filters'"),
        ("vocoder", {**GRIFFIN_LIM, "filters": "x.npy"}, "vocoder.filters: expected a file of 'files'"),
        ("vocoder", {**GRIFFIN_LIM, "iterations": 0}, "vocoder.iterations: expected 1 to"),
        ("vocoder", [], "vocoder: expected an object, got list of 0"),
        (
            "files.parity#npz",
            ...,
            "manifest.json.recording: expected a file of 'files', got str 'parity.npz'",
        ),
        ("files.parity#npz.sha256", "0", "expected 64 hexadecimal digits, got str '0'"),
        ("files.parity#npz.bytes", -1, "expected 0 or more, got int -1"),
        ("graphs.thinker.agreement", 1.5, "graphs['thinker'].agreement: expected 0 to 1, got float 1.5"),
        ("graphs.thinker.max_error", math.inf, "expected a finite number, got inf"),
        ("prompt.media_order", ["smell"], "media_order[0]: expected one of 'image', 'video', 'audio'"),
        ("prompt.default_audio_question", "\ud800", "expected valid Unicode"),
        ("prompt.video_frames", 0, "prompt.video_frames: expected 1 to"),
        ("thinker", None, "vision.embeddings_per_image: expected 0 without a thinker, got int 36"),
    ],
)
def test_a_value_that_would_break_a_model_is_refused_by_its_path(path: str, value: Any, named: str) -> None:
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if item is not ...}
    manifest = edited(path, value) if "#" not in path else edited_file(path, value)
    with pytest.raises(ManifestError) as caught:
        parse_manifest(manifest)
    assert named in str(caught.value)


def edited_file(path: str, value: Any) -> str:
    manifest = json.loads(TEXT)
    _, name, *field = path.replace("#", "\0").split(".")
    name = name.replace("\0", ".")
    if field:
        manifest["files"][name][field[0]] = value
    else:
        del manifest["files"][name]
    return json.dumps(manifest)


@pytest.mark.parametrize("vocoder", [SPECTRAL, HIFIGAN, GRIFFIN_LIM], ids=lambda v: str(v["kind"]))
def test_every_kind_of_vocoder_survives_its_json(vocoder: dict[str, Any]) -> None:
    manifest = parse_manifest(edited("vocoder", vocoder))
    assert manifest.vocoder is not None and manifest.vocoder.kind == vocoder["kind"]
    assert json.loads(manifest.to_json())["vocoder"] == vocoder
    assert parse_manifest(manifest.to_json()) == manifest


@pytest.mark.parametrize("vocoder", [SPECTRAL, HIFIGAN, GRIFFIN_LIM], ids=lambda v: str(v["kind"]))
def test_a_vocoder_has_no_key_to_spare(vocoder: dict[str, Any]) -> None:
    for key in vocoder:
        with pytest.raises(ManifestError, match=f"missing key '{key}'"):
            parse_manifest(edited("vocoder", {k: v for k, v in vocoder.items() if k != key}))


def test_the_vocoders_contract_is_that_of_its_kind() -> None:
    outputs: Callable[[dict[str, Any]], list[str]] = lambda vocoder: [  # noqa: E731
        spec.name for spec in graph_contracts(parse_manifest(edited("vocoder", vocoder)))["vocoder"].outputs
    ]
    assert outputs(SPECTRAL) == ["real", "imaginary"]
    assert outputs(HIFIGAN) == ["samples"]
    assert "vocoder" not in graph_contracts(parse_manifest(edited("vocoder", GRIFFIN_LIM)))
    assert SpectralVocoder is not HifiganVocoder


def test_the_type_of_the_cache_is_the_graphs_own() -> None:
    def dtypes(manifest: str, graph: str) -> set[str]:
        contract = graph_contracts(parse_manifest(manifest))[graph]
        specs = (*contract.inputs, *contract.outputs)
        return {spec.dtype for spec in specs if spec.name.startswith(("past.", "present."))}

    half = edited("thinker.cache_dtype", "float16")
    assert dtypes(half, "thinker") == {"float16"} and dtypes(half, "talker") == {"float32"}
    assert dtypes(TEXT, "thinker") == {"float32"}


def places(node: Any, above: Path = ()) -> list[Path]:
    """The path of every value."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [above, *(path for key, item in inner for path in places(item, (*above, key)))]


PLACES = [path for path in places(json.loads(TEXT)) if path]
VALUES = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 0.0, -0.5, 1e-320, 1e308, "", "..", "a/b"]
    ),
    st.sampled_from(
        [math.nan, math.inf, [], {}, [[]], {"kind": []}, {"kind": "hifigan"}, "\ud800", "spectral"]
    ),
    st.integers(-(10**25), 10**25),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(-3, 600), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    st.sampled_from(
        [*json.loads(TEXT)["files"], *json.loads(TEXT)["graphs"], "float16", "2.1", "2.0", "1.0"]
    ),
)
EDITS = st.tuples(st.sampled_from(PLACES), st.sampled_from(["delete", "replace", "add", "double"]), VALUES)


def apply(manifest: Any, edit: tuple[Path, str, Any]) -> None:
    (*parents, last), how, value = edit
    node = manifest
    for part in parents:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return  # an edit before this one took the place away
    if not isinstance(node, (dict, list)) or (isinstance(node, list) and not isinstance(last, int)):
        return
    there = last in node if isinstance(node, dict) else last < len(node)
    if how == "double" and there and isinstance(node[last], (int, float, str)):
        node[last] *= 2
    elif how == "add" and isinstance(node, dict):
        node[f"{last} too"] = value
    elif how == "delete" and there:
        del node[last]
    elif isinstance(node, dict) or there:
        node[last] = value


@pytest.mark.parametrize(
    "change", [{"schema_version": "\ud800"}, {"schema_version": "9.0", "reads_with": "\ud800"}]
)
def test_half_a_surrogate_pair_is_refused_in_words_that_can_be_shown(change: dict[str, str]) -> None:
    with pytest.raises(ManifestError, match=r"\\ud800") as refusal:
        parse_manifest(json.dumps({**json.loads(TEXT), **change}))
    str(refusal.value).encode()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EDITS, min_size=1, max_size=3), st.sampled_from([None, 1, "2.0", "2.9"]))
def test_any_manifest_is_read_or_refused_and_one_that_is_read_has_all_contracts(
    edits: list[tuple[Path, str, Any]], version: int | str | None
) -> None:
    value = json.loads(TEXT)
    if version is not None:
        value["schema_version"] = version
    for edit in edits:
        apply(value, edit)
    try:
        manifest = parse_manifest(json.dumps(value))
    except ManifestError as error:
        str(error).encode()  # a terminal must be able to show it
        return
    contracts = graph_contracts(manifest)
    for stage in (manifest.thinker, manifest.vision, manifest.audio, manifest.talker, manifest.codec):
        assert stage is None or stage.graph in contracts
    assert contracts.keys() <= manifest.graphs.keys()
    assert parse_manifest(manifest.to_json()) == manifest


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")))
def test_any_text_is_read_or_refused(text: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(text.decode("utf-8", "replace"))


@pytest.mark.parametrize(
    "text", ["9" * 5000, "[" * 100_000, '{"schema_version": 1, "talker": {"text": 3}, "vocoder": 4}']
)
def test_numbers_and_nests_without_end_are_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(text)
