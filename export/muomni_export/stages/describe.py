"""The manifest's stages, from the modules of a checkpoint."""

from __future__ import annotations

from muomni.bundle.manifest import (
    AudioStage,
    CodecStage,
    GriffinLimVocoder,
    HifiganVocoder,
    MelEntry,
    PromptEntry,
    SpectralVocoder,
    TalkerStage,
    TextInput,
    ThinkerStage,
    VisionStage,
    VocoderStage,
)
from muomni_export.checkpoint.load import Modules
from muomni_export.modules.vocoder import SpectralSizes

from .build import TALKER_POSITIONS, start_codes

AUDIO_SHARE_OF_CONTEXT = 4  # the reference lets audio fill at most a quarter of the context
GRIFFIN_LIM_ITERATIONS = 32  # the reference's
AUDIO_FILTERS, VOCODER_FILTERS = "audio_mel_filters.npy", "vocoder_mel_filters.npy"
PHONEMES, RESIDUAL_BY_BASE = "phonemes.json", "residual_by_base.npy"
PICTURE_QUESTION = "Describe what you see concisely."  # the reference's

VIDEO_FRAMES = 4  # the reference's


def prompt_entry(modules: Modules) -> PromptEntry:
    return PromptEntry(
        layout="[media] [bos] [text]",
        media_order=("image", "video", "audio"),
        default_picture_question=PICTURE_QUESTION,
        default_audio_question="What did you hear?",
        default_spoken_question=modules.spoken_question or PICTURE_QUESTION,
        video_frames=modules.video_frames or VIDEO_FRAMES,
    )


def thinker_stage(modules: Modules) -> ThinkerStage | None:
    if modules.thinker is None:
        return None
    sizes = modules.thinker.sizes
    decoder = sizes.decoder
    return ThinkerStage(
        graph="thinker",
        width=decoder.width,
        layers=decoder.layers,
        heads=decoder.heads,
        kv_heads=decoder.kv_heads,
        head_size=decoder.head_size,
        vocabulary=sizes.vocabulary,
        context_length=sizes.context_length,
    )


def vision_stage(modules: Modules) -> VisionStage | None:
    if modules.vision is None:
        return None
    sizes = modules.vision.sizes
    side = sizes.image_size // sizes.patch
    embeddings = (side // modules.image_pool) ** 2 if modules.image_pool else 1
    return VisionStage(
        graph="vision",
        image_size=sizes.image_size,
        patch=sizes.patch,
        width=sizes.width,
        patches=side**2,
        embeddings_per_image=0 if modules.vision_projector is None else embeddings,
    )


def audio_stage(modules: Modules) -> AudioStage | None:
    if modules.audio is None:
        return None
    sizes, front = modules.audio.sizes, modules.audio_front_end
    mel = MelEntry(
        sample_rate_hz=front.sample_rate_hz,
        n_fft=front.n_fft,
        window_samples=front.window_samples,
        hop_samples=front.hop_samples,
        bins=sizes.mel_bins,
        filters=AUDIO_FILTERS,
    )
    projected = modules.audio_projector is not None and modules.thinker is not None
    return AudioStage(
        graph="audio",
        mel=mel,
        downsampling=sizes.downsampling,
        width=sizes.width,
        max_embeddings=modules.context_length // AUDIO_SHARE_OF_CONTEXT if projected else 0,
    )


def talker_stage(modules: Modules) -> TalkerStage | None:
    if modules.talker is None:
        return None
    sizes = modules.talker.sizes
    decoder = sizes.decoder
    return TalkerStage(
        graph="talker",
        width=decoder.width,
        layers=decoder.layers,
        heads=decoder.heads,
        kv_heads=decoder.kv_heads,
        head_size=decoder.head_size,
        codebooks=2,
        codebook_size=sizes.codebook_size,
        start_codes=start_codes(modules.talker),
        frame_rate_hz=sizes.frame_rate_hz,
        context_length=TALKER_POSITIONS,
        text=_text_input(modules),
    )


def _text_input(modules: Modules) -> TextInput | None:
    if modules.talker is None or modules.letters is None or modules.talker.sizes.text is None:
        return None
    text, letters = modules.talker.sizes.text, modules.letters.sizes
    return TextInput(
        phonemizer_graph="letters",
        context_graph="context",
        phonemes=PHONEMES,
        residual_by_base=RESIDUAL_BY_BASE,
        symbols=letters.symbols,
        slots=letters.slots,
        phoneme_ids=text.sounds,
        context_phonemes=text.reach,
        elapsed_frames=text.elapsed,
    )


def codec_stage(modules: Modules) -> CodecStage | None:
    if modules.codec is None:
        return None
    sizes = modules.codec.sizes
    return CodecStage(
        graph="codec",
        encoder_graph="codec_encoder",
        codebooks=sizes.codebooks,
        codebook_size=sizes.codebook_size,
        mel_bins=sizes.mel_bins,
    )


def vocoder_stage(modules: Modules) -> VocoderStage | None:
    """The vocoder of the checkpoint; else Griffin-Lim for a codec; else nothing."""
    speech = modules.speech_front_end
    if modules.vocoder is not None:
        sizes = modules.vocoder.sizes
        if isinstance(sizes, SpectralSizes):
            return SpectralVocoder(
                graph="vocoder",
                sample_rate_hz=speech.sample_rate_hz,
                hop_samples=sizes.hop_samples,
                n_fft=sizes.n_fft,
                mel_bins=sizes.mel_bins,
                normalisation="fixed_range",
                receptive_field_frames=sizes.receptive_field_frames(),
            )
        return HifiganVocoder(
            graph="vocoder",
            sample_rate_hz=speech.sample_rate_hz,
            hop_samples=sizes.hop_samples,
            mel_bins=sizes.mel_bins,
            normalisation="utterance_min_max",
        )
    if modules.codec is None:
        return None
    return GriffinLimVocoder(
        sample_rate_hz=speech.sample_rate_hz,
        hop_samples=speech.hop_samples,
        n_fft=speech.n_fft,
        mel_bins=modules.codec.sizes.mel_bins,
        normalisation="utterance_min_max",
        filters=VOCODER_FILTERS,
        iterations=GRIFFIN_LIM_ITERATIONS,
    )
