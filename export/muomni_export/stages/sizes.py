"""Sizes of the stages, read from their tensors; the config tells only what tensors cannot."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Literal, get_args

from muomni.errors import CheckpointError
from muomni_export.checkpoint.checkpoint_set import StageWeights
from muomni_export.checkpoint.evidence import Evidence
from muomni_export.modules.audio_encoder import AudioSizes, MelCompression
from muomni_export.modules.codec import CodecSizes
from muomni_export.modules.decoder import DecoderSizes
from muomni_export.modules.thinker import ThinkerSizes
from muomni_export.modules.vision import STEM_STRIDE, VisionSizes

# The reference's heads, and the widths that go with them.
THINKER_HEADS, THINKER_WIDTH = 4, 256
VISION_HEADS, VISION_WIDTH = 2, 128
AUDIO_HEADS, AUDIO_WIDTH = 3, 192

ROTARY_HEAD_MULTIPLE = 16  # what com.microsoft.GroupQueryAttention with do_rotary accepts


@dataclass(frozen=True)
class AudioFrontEnd:
    """The mel spectrogram the audio encoder reads."""

    sample_rate_hz: int = 16_000
    n_fft: int = 1024
    window_samples: int = 400
    hop_samples: int = 160


def thinker_sizes(weights: StageWeights, context_length: int, notes: list[str]) -> ThinkerSizes:
    """Sizes of a Thinker.

    Raises:
        CheckpointError: tensors that are missing or do not fit together, heads that cannot be known or used.
    """
    found = Evidence("thinker", weights, notes)
    vocabulary, _ = found.shape("tok_emb.weight", 2)
    found.compare("vocab_size", vocabulary)
    return ThinkerSizes(decoder_sizes(found, THINKER_HEADS, THINKER_WIDTH), vocabulary, context_length)


def decoder_sizes(found: Evidence, default_heads: int, default_width: int) -> DecoderSizes:
    """Sizes of a stack of decoder blocks.

    Raises:
        CheckpointError: see :func:`thinker_sizes`.
    """
    (width,) = found.shape("norm.weight", 1)
    layers = found.count("blocks.")
    found.compare("n_layers", layers)
    found.compare("d_model", width)
    heads = found.heads(width, default_heads, default_width)
    head_size = width // heads
    if head_size % ROTARY_HEAD_MULTIPLE:
        raise CheckpointError(
            f"{found.weights.source}: {found.stage}: ONNX Runtime's attention with rotary positions "
            f"needs a head size that is a multiple of {ROTARY_HEAD_MULTIPLE}, got {head_size} (width {width} "
            f"/ {heads} heads, n_heads from {found.config_name})"
        )
    kv_heads, fused = _kv_heads(found, width, heads)
    activation, hidden, experts = _feed_forward(found)
    return DecoderSizes(
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        hidden=hidden,
        activation=activation,
        fused_qkv=fused,
        experts=experts,
        experts_per_token=_experts_per_token(found, experts),
        rope_theta=found.number("rope_theta") or 10_000.0,
    )


def _kv_heads(found: Evidence, width: int, heads: int) -> tuple[int, bool]:
    """Key/value heads from the rows of the projections, and whether these are one matrix."""
    fused = found.has("blocks.0.attn.qkv.weight")
    head_size = width // heads
    name = f"blocks.0.attn.{'qkv' if fused else 'k'}.weight"
    rows, _ = found.shape(name, 2)
    kv_rows, odd = divmod(rows - width, 2) if fused else (rows, 0)
    if odd or kv_rows < 1 or kv_rows % head_size or heads % (kv_rows // head_size):
        of = f"{width} query rows and twice " if fused else ""
        raise found.refuse(
            name,
            f"{of}a number of key rows that makes whole heads of {head_size} (width {width} / {heads} heads, "
            f"n_heads from {found.config_name}), as many as divide {heads}",
            f"{rows} rows",
        )
    kv_heads = kv_rows // head_size
    found.compare("use_gqa", not fused)
    if not fused:
        found.compare("kv_groups", kv_heads)
    return kv_heads, fused


def _feed_forward(found: Evidence) -> tuple[Literal["swiglu", "gelu"], int, int]:
    """Activation, hidden width and number of experts (0 without)."""
    experts = 0
    prefix = "blocks.0.mlp."
    if found.has("blocks.0.moe.router.weight"):
        experts, _ = found.shape("blocks.0.moe.router.weight", 2)
        prefix = "blocks.0.moe.experts.0."
        found.compare("num_experts", experts)
    found.compare("use_moe", experts > 0)
    gelu = found.has(f"{prefix}fc1.weight")
    hidden, _ = found.shape(f"{prefix}fc1.weight" if gelu else f"{prefix}gate_proj.weight", 2)
    found.compare("use_swiglu", not gelu)
    found.compare("d_ff", hidden)
    return "gelu" if gelu else "swiglu", hidden, experts


def _experts_per_token(found: Evidence, experts: int) -> int:
    default = 2  # the reference's
    if not experts:
        return default
    chosen = found.positive("num_experts_per_tok")
    if chosen is None:
        found.note(f"num_experts_per_tok is not in the config; used the reference's {default}")
        chosen = default
    if chosen > experts:
        raise found.wrong_value("num_experts_per_tok", f"at most the {experts} experts there are", chosen)
    return chosen


def vision_sizes(weights: StageWeights, notes: list[str]) -> VisionSizes:
    """Sizes of a vision encoder; its image is the square of patches that the positions are for.

    Raises:
        CheckpointError: tensors that are missing or do not fit together, heads that cannot be known.
    """
    found = Evidence("vision", weights, notes)
    stem, of_patches, stride = 0, 3, 1
    if found.has("stem.0.weight"):
        stem, _, _, _ = found.shape("stem.0.weight", 4)
        of_patches, stride = 2 * stem, STEM_STRIDE
    width, channels, patch, patch_width = found.shape("proj.weight", 4)
    if channels != of_patches or patch != patch_width:
        expected, got = f"square patches of {of_patches} channels", (width, channels, patch, patch_width)
        raise found.refuse("proj.weight", expected, f"shape {got}")
    patch *= stride
    _, positions, _ = found.shape("pos", 3)
    side = isqrt(positions - 1)
    if side < 1 or side * side != positions - 1:
        raise found.refuse(
            "pos", "one position for the class and a square of patches", f"{positions} positions"
        )
    found.compare("patch", patch)
    found.compare("img_size", side * patch)
    layers = found.count("blocks.")
    hidden, _ = found.shape("blocks.0.linear1.weight", 2)
    found.compare("d_model", width)
    found.compare("n_layers", layers)
    found.compare("d_ff", hidden)
    heads = found.heads(width, VISION_HEADS, VISION_WIDTH)
    return VisionSizes(side * patch, patch, width, layers, heads, hidden, stem)


def image_pool(weights: StageWeights, sizes: VisionSizes, notes: list[str]) -> int:
    """Patches a side that are averaged into one embedding; 0 for the reference's choice, the class feature.

    ``image_embeddings`` of the set's config: ``{"source": "grid", "pool": 2}``; absent, or a source of
    ``"cls"``, is the reference's.

    Raises:
        CheckpointError: another source, or a pool that does not divide the patches of a side.
    """
    found = Evidence("vision", weights, notes)
    said = weights.config.get("image_embeddings")
    if said is None or said == {"source": "cls"}:
        return 0
    side = sizes.image_size // sizes.patch
    pool = said.get("pool") if isinstance(said, dict) and said.get("source") == "grid" else None
    if isinstance(pool, bool) or not isinstance(pool, int) or pool < 1 or side % pool:
        expected = f'{{"source": "cls"}}, or {{"source": "grid", "pool": a divisor of {side}}}'
        raise found.wrong_value("image_embeddings", expected, said)
    return pool


def audio_sizes(weights: StageWeights, notes: list[str]) -> AudioSizes:
    """Sizes of an audio encoder; downsampling 8 has one convolution more than 4.

    Raises:
        CheckpointError: tensors that are missing or do not fit together, heads that cannot be known.
    """
    found = Evidence("audio", weights, notes)
    by_8 = found.has("down.0.net.0.weight")
    downsampling = 8 if by_8 else 4
    channels, _, _, _ = found.shape("down.0.net.0.weight" if by_8 else "down.net.0.weight", 4)
    width, inputs = found.shape("proj.weight", 2)
    if inputs % channels:
        raise found.refuse("proj.weight", f"inputs for {channels} channels of mel bands", f"{inputs} inputs")
    mel_bins = downsampling * (inputs // channels)
    said = found.positive("mel_bins")
    if said is not None and said != mel_bins and -(-said // downsampling) == inputs // channels:
        raise found.wrong_value(
            "mel_bins", f"a multiple of the downsampling {downsampling} ({mel_bins})", said
        )
    layers = found.count("blocks.")
    hidden, _ = found.shape("blocks.0.mlp.0.weight", 2)
    for key, actual in (("mel_bins", mel_bins), ("downsample_time", downsampling), ("d_model", width)):
        found.compare(key, actual)
    found.compare("n_layers", layers)
    found.compare("d_ff", hidden)
    heads = found.heads(width, AUDIO_HEADS, AUDIO_WIDTH)
    compression = found.config.get("mel_compression", "none")
    if compression not in get_args(MelCompression):
        raise found.wrong_value(
            "mel_compression", f"one of {', '.join(get_args(MelCompression))}", compression
        )
    kernel = 0
    if found.has("blocks.0.conv.weight"):
        _, _, kernel = found.shape("blocks.0.conv.weight", 3)
    found.compare("convolution_kernel", kernel)
    return AudioSizes(mel_bins, downsampling, channels, width, layers, heads, hidden, compression, kernel)


def audio_front_end(weights: StageWeights, notes: list[str]) -> AudioFrontEnd:
    """How the audio encoder's mel is made: ``sample_rate``, ``n_fft``, ``frame_win``, ``frame_hop``.

    Raises:
        CheckpointError: values that are no positive whole numbers, or a window longer than ``n_fft``.
    """
    found, default = Evidence("audio", weights, notes), AudioFrontEnd()
    front = AudioFrontEnd(
        found.positive("sample_rate") or default.sample_rate_hz,
        found.positive("n_fft") or default.n_fft,
        found.positive("frame_win") or default.window_samples,
        found.positive("frame_hop") or default.hop_samples,
    )
    if front.window_samples > front.n_fft:
        raise found.wrong_value("frame_win", f"at most n_fft ({front.n_fft}) samples", front.window_samples)
    return front


def codec_sizes(weights: StageWeights, notes: list[str]) -> CodecSizes:
    """Sizes of a codec.

    Raises:
        CheckpointError: tensors that are missing or do not fit together, or other than two codebooks.
    """
    found = Evidence("codec", weights, notes)
    codebooks = found.count("codebooks.")
    if codebooks != 2:
        raise found.refuse(
            "codebooks", "2 codebooks (the Talker has a base and a residual head)", f"{codebooks}"
        )
    size, width = found.shape("codebooks.0.weight", 2)
    mel_bins, _ = found.shape("proj_out.weight", 2)
    return CodecSizes(codebooks, size, width, mel_bins)
