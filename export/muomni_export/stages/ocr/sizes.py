"""Sizes of the OCR model: those of a vision encoder and those of a decoder, from one config."""

from __future__ import annotations

from muomni_export.modules.ocr import OcrSizes
from muomni_export.notes import Note
from muomni_export.stages import vision
from muomni_export.stages.decoder import decoder_sizes
from muomni_export.stages.evidence import Evidence
from muomni_export.stages.weights import StageWeights

NO_DEFAULT = 0  # the decoder's heads must be said: no width tells them

VISION_KEYS = {
    "d_model": "vision_d_model",
    "n_layers": "vision_layers",
    "n_heads": "vision_heads",
    "d_ff": "vision_d_ff",
}
DECODER_KEYS = {
    "d_model": "decoder_d_model",
    "n_layers": "decoder_layers",
    "n_heads": "decoder_heads",
    "d_ff": "decoder_d_ff",
}
"""What the config of a training run calls the sizes of both parts."""


def ocr_sizes(weights: StageWeights, notes: list[Note]) -> OcrSizes:
    """Sizes of an OCR model.

    Raises:
        CheckpointError: tensors that are missing or do not fit together, heads that cannot be known or used.
    """
    seen = Evidence("ocr", _part(weights, "vision_encoder."), notes, VISION_KEYS)
    written = Evidence("ocr", _part(weights, "decoder."), notes, DECODER_KEYS)
    vocabulary, _ = written.shape("char_embed.weight", 2)
    written.compare("vocab_size", vocabulary)
    decoder = decoder_sizes(written, NO_DEFAULT, NO_DEFAULT, attention="self_attn")
    return OcrSizes(vision.encoder_sizes(seen), decoder, vocabulary)


def _part(weights: StageWeights, prefix: str) -> StageWeights:
    """The tensors under a prefix, under their names without it."""
    names = [name for name in weights.state if name.startswith(prefix)]
    return StageWeights(
        {name.removeprefix(prefix): weights.state[name] for name in names},
        weights.config,
        weights.source,
        weights.prefix + prefix,
        {name.removeprefix(prefix): weights.stored(name) for name in names},
        weights.config_source,
    )
