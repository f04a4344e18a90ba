"""Sizes of the Talker, and of what a text-conditioned one has beyond it."""

from __future__ import annotations

from muomni.speech.letters import SIZE, SLOTS
from muomni_export.modules.phonemizer import PhonemizerSizes
from muomni_export.modules.talker import TalkerSizes, TextSizes
from muomni_export.notes import Note
from muomni_export.stages.decoder import decoder_sizes
from muomni_export.stages.evidence import Evidence
from muomni_export.stages.weights import StageWeights

HEADS, WIDTH = 3, 192  # the reference's
PHONEMIZER_HEADS, PHONEMIZER_WIDTH = 6, 192  # the recipe's
DEFAULT_FRAME_MS = 80.0
TEXT_KEY = "spoken_text"


def talker_sizes(weights: StageWeights, notes: list[Note]) -> TalkerSizes:
    """Sizes of a Talker, and the rate of its frames (``frame_ms``, else ``frame_rate``, else 80 ms).

    Raises:
        CheckpointError: see :func:`muomni_export.stages.thinker.thinker_sizes`.
    """
    found = Evidence("talker", weights, notes)
    codebook_size, _ = found.shape("emb.weight", 2)
    found.compare("codebook_size", codebook_size)
    milliseconds, rate = found.number("frame_ms"), found.number("frame_rate")
    if milliseconds is None and rate is None:
        milliseconds = DEFAULT_FRAME_MS
        found.note_default("frame_ms", f"{milliseconds:g}")
    if milliseconds is not None:
        if rate is not None and abs(rate - 1000 / milliseconds) > 1e-6 * rate:
            text = "frame_ms ({frame_ms:g}) and frame_rate ({frame_rate:g}) disagree; used {used:g} a second"
            values = {"frame_ms": milliseconds, "frame_rate": rate, "used": 1000 / milliseconds}
            found.note("frame_rates_differ", text, **values)
        rate = 1000 / milliseconds
    assert rate is not None
    decoder = decoder_sizes(found, HEADS, WIDTH)
    return TalkerSizes(decoder, codebook_size, rate, text_sizes(found))


def text_sizes(found: Evidence) -> TextSizes | None:
    """Sizes of a Talker's view of phonemes; None for the reference's Talker, which has none.

    Raises:
        CheckpointError: tensors that do not fit together, or dilations that the config does not tell.
    """
    if not found.has("context.emb.weight"):
        return None
    phonemes, _ = found.shape("context.emb.weight", 2)
    elapsed, _ = found.shape("elapsed_emb.weight", 2)
    convolutions = found.count("context.convs.")
    kernels = {found.shape(f"context.convs.{i}.weight", 3)[2] for i in range(convolutions)}
    if len(kernels) != 1 or not (kernel := kernels.pop()) % 2:
        raise found.refuse("context.convs.0.weight", "one odd kernel for all context.convs", f"{kernels}")
    said = found.config.get(TEXT_KEY)
    if not isinstance(said, dict) or "dilations" not in said:
        expected = f'{{"dilations": [{convolutions} numbers]}}, which tensors do not tell'
        raise found.wrong_value(TEXT_KEY, expected, said)
    dilations = found.as_positives(f"{TEXT_KEY}.dilations", said["dilations"])
    if len(dilations) != convolutions:
        raise found.wrong_value(
            f"{TEXT_KEY}.dilations", f"{convolutions}, one for each of context.convs", list(dilations)
        )
    return TextSizes(phonemes, kernel, dilations, elapsed)


def phonemizer_sizes(weights: StageWeights, notes: list[Note]) -> PhonemizerSizes:
    """Sizes of a phonemizer; the numbering of letters is :mod:`muomni.speech.letters`'s.

    Raises:
        CheckpointError: tensors that are missing or do not fit together, heads that cannot be known.
    """
    found = Evidence("letters", weights, notes)
    letters, _ = found.shape("emb.weight", 2)
    if letters != SIZE:
        raise found.refuse("emb.weight", f"{SIZE} rows, the letters of muomni.speech.letters", f"{letters}")
    rows, _ = found.shape("symbol_head.weight", 2)
    if rows % SLOTS:
        raise found.refuse(
            "symbol_head.weight", f"{SLOTS} slots a letter, a multiple of {SLOTS} rows", f"{rows}"
        )
    return PhonemizerSizes(
        decoder_sizes(found, PHONEMIZER_HEADS, PHONEMIZER_WIDTH), letters, SLOTS, rows // SLOTS
    )
