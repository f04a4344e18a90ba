"""A checkpoint's weights into the torch modules, checked by name and shape, within and across stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from muomni.errors import BundleError, CheckpointError
from muomni.speech.phonemes import Phonemes
from muomni_export.modules.audio_encoder import AudioEncoder
from muomni_export.modules.codec import Codec
from muomni_export.modules.letters import LettersToSounds
from muomni_export.modules.talker import Talker
from muomni_export.modules.thinker import Thinker
from muomni_export.modules.vision import VisionEncoder
from muomni_export.modules.vocoder import SpectralVocoder, Vocoder
from muomni_export.stages.sizes import (
    AudioFrontEnd,
    audio_front_end,
    audio_sizes,
    codec_sizes,
    image_pool,
    thinker_sizes,
    vision_sizes,
)
from muomni_export.stages.talker_sizes import letters_sizes, talker_sizes
from muomni_export.stages.vocoder_sizes import SpeechFrontEnd, make_vocoder, speech_front_end

from .checkpoint_set import CheckpointSet, StageWeights
from .evidence import Evidence

SHOWN = 5  # names in an error, the rest is counted
SPECIAL_IDS = {"unk": 0, "bos": 1, "eos": 2}

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Modules:
    """The stages of a checkpoint in evaluation mode, float32, without gradients; None where there is none.

    ``image_pool`` is 0 where the class feature is what the Thinker reads of an image; else so many patches a
    side are averaged into one embedding. ``video_frames`` and ``spoken_question`` (asked when a picture comes with
    a recording and no text) are None where the config does not say. ``letters`` and ``inventory`` belong to a
    Talker that is told what to say.
    ``frame_rate_hz`` is the Talker's, None without one; ``context_length`` is in positions, 0 without a
    Thinker; ``sources`` has the file of each stage.
    """

    thinker: Thinker | None
    vision: VisionEncoder | None
    vision_projector: nn.Linear | None
    audio: AudioEncoder | None
    audio_projector: nn.Linear | None
    talker: Talker | None
    letters: LettersToSounds | None
    inventory: Path | None
    codec: Codec | None
    vocoder: Vocoder | SpectralVocoder | None
    image_pool: int
    video_frames: int | None
    spoken_question: str | None
    audio_front_end: AudioFrontEnd
    speech_front_end: SpeechFrontEnd
    frame_rate_hz: float | None
    tokenizer: Path | None
    context_length: int
    notes: tuple[str, ...]
    sources: Mapping[str, Path]


def load_modules(checkpoint: CheckpointSet) -> Modules:
    """Build every stage with the sizes of its tensors and give it its weights.

    Raises:
        CheckpointError: missing, unknown or misshapen tensors; sizes that cannot be known; stages or a
            tokenizer that do not fit together.
    """
    stages, notes = checkpoint.stages, list(checkpoint.notes)

    def load(stage: str, make: Callable[[StageWeights], M]) -> M | None:
        return _fit(stage, stages[stage], make) if stage in stages else None

    length = checkpoint.context_length
    thinker = load("thinker", lambda w: Thinker(thinker_sizes(w, length, notes)))
    vision = load("vision", lambda w: VisionEncoder(vision_sizes(w, notes)))
    audio = load("audio", lambda w: AudioEncoder(audio_sizes(w, notes)))
    talker = load("talker", lambda w: Talker(talker_sizes(w, notes)))
    codec = load("codec", lambda w: Codec(codec_sizes(w, notes)))
    letters = load("letters", lambda w: LettersToSounds(letters_sizes(w, notes)))
    vocoder = load("vocoder", lambda w: make_vocoder(w, notes))
    width = thinker.sizes.decoder.width if thinker is not None else 0

    def projector(stage: str, encoder: VisionEncoder | AudioEncoder | None) -> nn.Linear | None:
        if encoder is None:
            return None
        return load(f"{stage}_projector", lambda w: nn.Linear(encoder.sizes.width, width))

    _check_speech(stages, talker, codec, vocoder)
    if talker is not None and talker.sizes.text is not None:
        _check_reading(checkpoint, talker, letters, vocoder)
    if thinker is not None and checkpoint.tokenizer is not None:
        _check_tokenizer(checkpoint.tokenizer, thinker.sizes.vocabulary, stages["thinker"], notes)
    return Modules(
        thinker=thinker,
        vision=vision,
        vision_projector=projector("vision", vision),
        audio=audio,
        audio_projector=projector("audio", audio),
        talker=talker,
        letters=letters,
        inventory=checkpoint.inventory,
        codec=codec,
        vocoder=vocoder,
        image_pool=image_pool(stages["vision"], vision.sizes, notes) if vision is not None else 0,
        video_frames=Evidence("vision", stages["vision"], notes).positive("video_frames") if vision else None,
        spoken_question=Evidence("audio", stages["audio"], notes).text("spoken_question") if audio else None,
        audio_front_end=audio_front_end(stages["audio"], notes) if audio is not None else AudioFrontEnd(),
        speech_front_end=_speaking(stages, vocoder, notes),
        frame_rate_hz=talker.sizes.frame_rate_hz if talker is not None else None,
        tokenizer=checkpoint.tokenizer,
        context_length=length,
        notes=tuple(dict.fromkeys(notes)),
        sources={stage: weights.source for stage, weights in stages.items()},
    )


def _fit(stage: str, weights: StageWeights, make: Callable[[StageWeights], M]) -> M:
    """Make a module without memory of its own and let it take the checkpoint's tensors."""
    with torch.device("meta"):
        module = make(weights)
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    missing = [f"{weights.stored(name)} {expected[name]}" for name in expected if name not in weights.state]
    unknown = [weights.stored(name) for name in weights.state if name not in expected]
    wrong = [
        f"{weights.stored(name)} (expected {expected[name]}, got {tuple(tensor.shape)})"
        for name, tensor in weights.state.items()
        if name in expected and tuple(tensor.shape) != expected[name]
    ]
    problems = [
        f"{what}: {_some(names)}"
        for what, names in (("missing", missing), ("unknown", unknown), ("wrong shape", wrong))
        if names
    ]
    if problems:
        sizes = getattr(module, "sizes", None)
        context = f"; the sizes read from its tensors are {sizes}" if sizes is not None else ""
        raise CheckpointError(f"{weights.source}: the {stage} does not fit: {'; '.join(problems)}{context}")
    module.load_state_dict(weights.state, strict=True, assign=True)
    return module.requires_grad_(False).eval()


def _check_speech(
    stages: Mapping[str, StageWeights],
    talker: Talker | None,
    codec: Codec | None,
    vocoder: Vocoder | SpectralVocoder | None,
) -> None:
    if talker is not None and codec is not None and talker.sizes.codebook_size != codec.sizes.codebook_size:
        raise _mismatch(
            *(stages["talker"], "emb.weight", f"{talker.sizes.codebook_size} codes"),
            *(stages["codec"], "codebooks.0.weight", f"{codec.sizes.codebook_size} codes"),
        )
    if codec is not None and vocoder is not None and codec.sizes.mel_bins != vocoder.sizes.mel_bins:
        raise _mismatch(
            *(stages["codec"], "proj_out.weight", f"{codec.sizes.mel_bins} mel bins"),
            *(stages["vocoder"], "conv_pre.weight", f"{vocoder.sizes.mel_bins} mel bins"),
        )


def _check_reading(
    checkpoint: CheckpointSet,
    talker: Talker,
    letters: LettersToSounds | None,
    vocoder: Vocoder | SpectralVocoder | None,
) -> None:
    """A Talker that is told what to say, against its letters to sounds, list of sounds and vocoder."""
    text, path = talker.sizes.text, checkpoint.inventory
    assert text is not None and letters is not None and path is not None
    try:
        inventory = Phonemes.read(path)
    except BundleError as error:
        raise CheckpointError(str(error)) from error
    for stage, name, needed, there in (
        ("talker", "context.emb.weight", inventory.size, text.sounds),
        ("letters", "symbol_head.weight", 1 + len(inventory.symbols), letters.sizes.symbols),
    ):
        if needed != there:
            weights = checkpoint.stages[stage]
            raise CheckpointError(
                f"{path}: its {len(inventory.symbols)} sounds make {needed} numbers, {weights.stored(name)} in "
                f"{weights.source} has {there}; they come from different trainings"
            )
    if vocoder is None:
        raise CheckpointError(
            f"{checkpoint.stages['talker'].source}: a Talker that is told what to say needs a vocoder; expected "
            "vocoder.pt in a vocoder_* folder beside it, found none"
        )


def _mismatch(
    one: StageWeights, name: str, size: str, other: StageWeights, other_name: str, other_size: str
) -> CheckpointError:
    return CheckpointError(
        f"{one.source}: {one.stored(name)} has {size}, expected the {other_size} of "
        f"{other.stored(other_name)} in {other.source}; they come from different trainings"
    )


def _check_tokenizer(path: Path, vocabulary: int, weights: StageWeights, notes: list[str]) -> None:
    import sentencepiece

    try:
        model: Any = sentencepiece.SentencePieceProcessor()
        model.LoadFromSerializedProto(path.read_bytes())
        pieces = int(model.get_piece_size())
        ids = {"unk": model.unk_id(), "bos": model.bos_id(), "eos": model.eos_id()}
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a SentencePiece model ({error}); copy it again") from error
    if pieces == 0:
        raise CheckpointError(f"{path}: the file is empty; copy it again")
    if ids != SPECIAL_IDS:
        raise CheckpointError(f"{path}: expected the special ids {SPECIAL_IDS}, got {ids}")
    name = weights.stored("tok_emb.weight")
    if pieces > vocabulary:
        raise CheckpointError(
            f"{path}: the tokenizer has {pieces} pieces, but {name} in {weights.source} has {vocabulary} "
            "rows; expected the tokenizer that the Thinker was trained with"
        )
    if pieces < vocabulary:
        notes.append(
            f"thinker: the tokenizer has {pieces} pieces, {name} {vocabulary} rows: some ids are unused"
        )


def _speaking(
    stages: Mapping[str, StageWeights], vocoder: Vocoder | SpectralVocoder | None, notes: list[str]
) -> SpeechFrontEnd:
    """The vocoder's rates; what its config leaves open (or Griffin-Lim needs) comes from the Talker's."""
    if "talker" not in stages and "vocoder" not in stages:
        return SpeechFrontEnd()
    front = SpeechFrontEnd()
    if "talker" in stages:
        front = speech_front_end(stages["talker"], "talker", front, notes)
    if vocoder is not None:
        front = speech_front_end(stages["vocoder"], "vocoder", front, notes)
        front = SpeechFrontEnd(front.sample_rate_hz, front.n_fft, vocoder.sizes.hop_samples)
    return front


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
