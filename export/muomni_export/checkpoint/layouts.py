"""The ways a μOmni lies on disk: a set of stage folders, one stage, one merged file; their parts and configs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muomni.errors import CheckpointError

from .configs import Config, context_length, section_of, stage_config, whole_or_section
from .files import read_json, read_safetensors, read_torch_file
from .locate import (
    FILE_STEMS,
    FOLDER_PREFIXES,
    Located,
    find_config,
    find_named_stage,
    find_stage_file,
    find_tokenizer,
    find_vocoder,
    only_config,
)
from .state_dict import Section, split_sections

FILE_PARTS: Mapping[str, Mapping[str, str]] = {
    "omni": {"thinker": "thinker", "proj_a": "audio_projector", "proj_v": "vision_projector"},
    "thinker": {"thinker": "thinker", "model": "thinker"},
    "vision": {"vit": "vision"},
    "audio": {"enc": "audio"},
    "talker": {"talker": "talker", "rvq": "codec"},
    "vocoder": {"generator": "vocoder"},
    "letters": {"letters": "letters"},
}
"""Kind of file -> names of the parts in it -> stages."""

MERGED_PARTS: Mapping[str, str] = {
    "thinker": "thinker",
    "vision_encoder": "vision",
    "audio_encoder": "audio",
    "talker": "talker",
    "letters": "letters",
    "rvq": "codec",
    "proj_a": "audio_projector",
    "proj_v": "vision_projector",
    "ocr": "ocr",
}
NEEDS = {"vision": "vision_projector", "audio": "audio_projector", "talker": "codec"}
"""What must come with a stage for it to be of use to the Thinker, or to be heard."""

LEFT_OUT = {
    "vision": "the model will not read images or video",
    "audio": "the model will not listen",
    "talker": "the model will not speak",
}
OCR_NOTE = "OCR is not exported yet: the OCR model is left out"
NO_VOCODER_NOTE = "no vocoder checkpoint found: speech is made with Griffin-Lim"


@dataclass(frozen=True)
class Parts:
    """What was read: weights and config by stage, not yet under the names of the stages' modules."""

    sections: dict[str, Section]
    configs: dict[str, Config]
    tokenizer: Path | None
    context_length: int
    notes: list[str]


def read_omni(found: Located, override: Path | None) -> Parts:
    """A set of stage folders, from the omni folder and the config that names the others."""
    notes: list[str] = []
    config_path, looked = (override, []) if override else find_config(found.folder)
    if config_path is None:
        raise CheckpointError(
            f"{found.folder}: no config; looked at {', '.join(map(str, looked))}. Name it with --config FILE"
        )
    config = read_json(config_path)
    sections = torch_sections(found.file, "omni")

    places = {
        kind: find_named_stage(kind, config, config_path, found.folder, notes)
        for kind in ("thinker", "vision", "audio", "talker")
    }
    thinker_place = places.pop("thinker")
    thinker_folder = _folder(thinker_place) if thinker_place else found.folder
    if "thinker" not in sections:
        if thinker_place is None:
            raise CheckpointError(f"{found.file}: expected a part named thinker, got {names_of(sections)}")
        file = _file(thinker_place, "thinker")
        sections |= torch_sections(file, "thinker")
        notes.append(f"thinker: {found.file.name} has none; used {file}")
    configs = {"thinker": stage_config("thinker", config, config_path, thinker_folder, notes)}
    for kind, place in places.items():
        if place is None:
            notes.append(f"{kind}: not named in {config_path.name} and not found: {LEFT_OUT[kind]}")
            sections.pop(NEEDS[kind], None)
            continue
        sections |= torch_sections(_file(place, kind), kind)
        configs[kind] = stage_config(kind, config, config_path, _folder(place), notes)
        configs[kind] = (configs[kind][0] | _set_keys(kind, config), configs[kind][1])
    if places["talker"] is not None:
        folders = (_folder(places["talker"]), found.folder, found.folder.parent)
        vocoder = find_vocoder(folders, config, config_path, found.folder, notes)
        _add_vocoder(vocoder, sections, configs, config, config_path, notes)
    if (
        config.get("ocr_ckpt")
        or (found.folder.parent / found.folder.name.replace("omni_sft", "ocr")).is_dir()
    ):
        notes.append(OCR_NOTE)
    tokenizer = find_tokenizer((thinker_folder, found.folder))
    length = context_length((config, configs["thinker"][0]), config_path, notes)
    return Parts(sections, configs, tokenizer, length, notes)


def read_stage(found: Located, override: Path | None) -> Parts:
    """One stage's folder."""
    notes: list[str] = []
    sections = torch_sections(found.file, found.kind)
    whole = read_json(override) if override else {}
    own = (whole_or_section(whole, found.kind), override)
    configs = {found.kind: own if override else stage_config(found.kind, {}, None, found.folder, notes)}
    if found.kind == "talker":
        vocoder = find_vocoder((found.folder, found.folder.parent), {}, None, found.folder, notes)
        _add_vocoder(vocoder, sections, configs, {}, configs["talker"][1], notes)
    tokenizer, length = None, 0
    if found.kind == "thinker":
        tokenizer = find_tokenizer((found.folder,))
        length = context_length((whole, configs["thinker"][0]), configs["thinker"][1] or found.file, notes)
    return Parts(sections, configs, tokenizer, length, notes)


def read_merged(found: Located, override: Path | None) -> Parts:
    """One safetensors file with every stage, and the configs beside it."""
    notes: list[str] = []
    config_path = override or found.folder / "config.json"
    inner = found.folder / "configs"
    if not config_path.is_file() and not inner.is_dir():
        looked = f"{config_path}, {inner}"
        raise CheckpointError(f"{found.file}: no config; looked at {looked}. Name it with --config FILE")
    config = read_json(config_path) if config_path.is_file() else {}
    omni_path = only_config(inner, "omni")
    omni = read_json(omni_path) if omni_path else {}
    sections = split_sections(found.file, read_safetensors(found.file), MERGED_PARTS, None)
    if sections.pop("ocr", None) is not None or config.get("ocr_ckpt"):
        notes.append(OCR_NOTE)
    if "thinker" not in sections:
        raise CheckpointError(
            f"{found.file}: expected tensors named thinker.…, got {names_of(sections)} (known prefixes: "
            f"{', '.join(MERGED_PARTS)})"
        )
    configs: dict[str, Config] = {}
    for kind in ("thinker", "vision", "audio", "talker"):
        if kind not in sections:
            notes.append(f"{kind}: not in {found.file.name}: {LEFT_OUT[kind]}")
            sections.pop(NEEDS[kind], None)
            continue
        base_path = only_config(inner, kind)
        base = read_json(base_path) if base_path else {}
        own = base | section_of(omni, kind) | section_of(config, kind)
        own |= _set_keys(kind, omni) | _set_keys(kind, config)
        if not own:
            notes.append(f"{kind}: no config in {config_path}; its sizes come from the tensors")
        configs[kind] = (own, config_path if config_path.is_file() else base_path)
    if "talker" in sections:
        folders = (found.folder, *(p for p in sorted(found.folder.glob("vocoder*")) if p.is_dir()))
        vocoder = find_vocoder(folders, config, config_path, found.folder, notes)
        _add_vocoder(vocoder, sections, configs, config, config_path, notes)
    tokenizer = find_tokenizer((found.folder,))
    length = context_length((omni | config, configs["thinker"][0]), config_path, notes)
    return Parts(sections, configs, tokenizer, length, notes)


def _add_vocoder(
    file: Path | None,
    sections: dict[str, Section],
    configs: dict[str, Config],
    config: Mapping[str, Any],
    config_path: Path | None,
    notes: list[str],
) -> None:
    if file is None:
        notes.append(NO_VOCODER_NOTE)
        return
    sections |= torch_sections(file, "vocoder")
    if file.parent.name.startswith(FOLDER_PREFIXES["vocoder"]):
        configs["vocoder"] = stage_config("vocoder", config, config_path, file.parent, notes)
        return
    # Beside another stage: its config is known by its name alone.
    folders = (config_path.parent, config_path.parent / "configs") if config_path is not None else ()
    own_path = next((path for folder in folders if (path := only_config(folder, "vocoder"))), None)
    own = read_json(own_path) if own_path is not None else {}
    section = section_of(config, "vocoder")
    configs["vocoder"] = (own | section, config_path if section else own_path)


def torch_sections(file: Path, kind: str) -> dict[str, Section]:
    """The parts of a stage's file, by stage; at least the one the file is named after (but for omni.pt)."""
    parts = FILE_PARTS[kind]
    bare = kind if kind in FILE_STEMS and kind not in ("omni", "talker") else None
    sections = split_sections(file, read_torch_file(file), parts, bare)
    expected = {"talker": ("talker", "codec"), "omni": ()}.get(kind, (kind,))
    for stage in expected:
        if stage not in sections:
            names = " or ".join(name for name, owner in parts.items() if owner == stage)
            raise CheckpointError(
                f"{file}: expected a part named {names} with the {stage}'s weights, got {names_of(sections)}"
            )
    return sections


def _set_keys(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the config of a whole set says of one stage outside its section."""
    keys = {"vision": ("image_embeddings", "video_frames"), "audio": ("spoken_question",)}.get(kind, ())
    return {key: config[key] for key in keys if key in config}


def names_of(sections: Mapping[str, Section]) -> str:
    names = [section.prefix.rstrip(".") or stage for stage, section in sections.items()]
    return ", ".join(names) or "none of the known parts"


def _folder(place: Path) -> Path:
    return place if place.is_dir() else place.parent


def _file(place: Path, kind: str) -> Path:
    return find_stage_file(place, kind) if place.is_dir() else place
