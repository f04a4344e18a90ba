"""Sizes of the Talker, and of what one needs that is told what to say: its view of sounds, letters to sounds."""

from __future__ import annotations

from muomni.speech.letters import SIZE, SLOTS
from muomni_export.checkpoint.checkpoint_set import StageWeights
from muomni_export.checkpoint.evidence import Evidence
from muomni_export.modules.letters import LettersSizes
from muomni_export.modules.talker import SpokenTextSizes, TalkerSizes

from .sizes import decoder_sizes

# The reference's heads, and the width that goes with them; of letters to sounds, the recipe's.
TALKER_HEADS, TALKER_WIDTH = 3, 192
LETTERS_HEADS, LETTERS_WIDTH = 6, 192
DEFAULT_FRAME_MS = 80.0
CONFIG_KEY = "spoken_text"


def talker_sizes(weights: StageWeights, notes: list[str]) -> TalkerSizes:
    """Sizes of a Talker, and the rate of its frames (``frame_ms``, else ``frame_rate``, else 80 ms).

    Raises:
        CheckpointError: see :func:`muomni_export.stages.sizes.thinker_sizes`.
    """
    found = Evidence("talker", weights, notes)
    codebook_size, _ = found.shape("emb.weight", 2)
    found.compare("codebook_size", codebook_size)
    milliseconds, rate = found.number("frame_ms"), found.number("frame_rate")
    if milliseconds is None and rate is None:
        milliseconds = DEFAULT_FRAME_MS
        found.note("neither frame_ms nor frame_rate is in the config; used 80 ms (12.5 frames a second)")
    if milliseconds is not None:
        if rate is not None and abs(rate - 1000 / milliseconds) > 1e-6 * rate:
            used = 1000 / milliseconds
            found.note(
                f"frame_ms ({milliseconds:g}) and frame_rate ({rate:g}) disagree; used {used:g} a second"
            )
        rate = 1000 / milliseconds
    assert rate is not None
    decoder = decoder_sizes(found, TALKER_HEADS, TALKER_WIDTH)
    return TalkerSizes(decoder, codebook_size, rate, spoken_text_sizes(found))


def spoken_text_sizes(found: Evidence) -> SpokenTextSizes | None:
    """Sizes of a Talker's view of sounds; None for the reference's Talker, which has none.

    Raises:
        CheckpointError: tensors that do not fit together, or dilations that the config does not tell.
    """
    if not found.has("context.emb.weight"):
        return None
    sounds, _ = found.shape("context.emb.weight", 2)
    elapsed, _ = found.shape("elapsed_emb.weight", 2)
    convolutions = found.count("context.convs.")
    kernels = {found.shape(f"context.convs.{i}.weight", 3)[2] for i in range(convolutions)}
    if len(kernels) != 1 or not (kernel := kernels.pop()) % 2:
        raise found.refuse("context.convs.0.weight", "one odd kernel for all context.convs", f"{kernels}")
    said = found.config.get(CONFIG_KEY)
    if not isinstance(said, dict) or "dilations" not in said:
        expected = f'{{"dilations": [{convolutions} numbers]}}, which tensors do not tell'
        raise found.wrong_value(CONFIG_KEY, expected, said)
    dilations = found.as_positives(f"{CONFIG_KEY}.dilations", said["dilations"])
    if len(dilations) != convolutions:
        raise found.wrong_value(
            f"{CONFIG_KEY}.dilations", f"{convolutions}, one for each of context.convs", list(dilations)
        )
    return SpokenTextSizes(sounds, kernel, dilations, elapsed)


def letters_sizes(weights: StageWeights, notes: list[str]) -> LettersSizes:
    """Sizes of letters to sounds; their numbering is :mod:`muomni.speech.letters`'s.

    Raises:
        CheckpointError: tensors that are missing or do not fit together, heads that cannot be known.
    """
    found = Evidence("letters", weights, notes)
    letters, _ = found.shape("emb.weight", 2)
    if letters != SIZE:
        raise found.refuse("emb.weight", f"{SIZE} rows, the letters that a text is read as", f"{letters}")
    rows, _ = found.shape("symbol_head.weight", 2)
    if rows % SLOTS:
        raise found.refuse(
            "symbol_head.weight", f"{SLOTS} slots a letter, a multiple of {SLOTS} rows", f"{rows}"
        )
    return LettersSizes(decoder_sizes(found, LETTERS_HEADS, LETTERS_WIDTH), letters, SLOTS, rows // SLOTS)
