"""Every stage of a bundle alone, in interleaved rounds, and whole requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import Manifest
from muomni.engine.playback import OnAudio
from muomni.models.sampling import SamplingOptions
from muomni.omni import Omni

from .statistics import Summary, interleave, summarise

AUDIO_SECONDS = 4.0
SPEECH_SECONDS = 4.0
SPEECH_SAMPLING = SamplingOptions(temperature=0.8, top_k=50, seed=0)
SPOKEN_TEXT = "The red circle is left of the blue square, and there are three shapes in all."
REPLY_TOKENS = 16

Action = Callable[[], object]


def example_image() -> NDArray[np.uint8]:
    """A picture (H, W, 3) whose decoding costs nothing: the stage is measured, not the file format."""
    return np.random.default_rng(0).integers(0, 256, size=(240, 320, 3), dtype=np.uint8)


def example_audio(rate_hz: int, seconds: float = AUDIO_SECONDS) -> tuple[NDArray[np.float32], int]:
    """A soft tone, mono."""
    time_s = np.arange(round(rate_hz * seconds), dtype=np.float32) / rate_hz
    return (0.1 * np.sin(2 * np.pi * 220 * time_s)).astype(np.float32), rate_hz


def can_see(manifest: Manifest) -> bool:
    return manifest.vision is not None and manifest.vision.embeddings_per_image > 0


def can_hear(manifest: Manifest) -> bool:
    return manifest.audio is not None and manifest.audio.max_embeddings > 0


def can_speak(manifest: Manifest) -> bool:
    return None not in (manifest.talker, manifest.codec, manifest.vocoder)


def stage_actions(omni: Omni) -> tuple[dict[str, Action], dict[str, float]]:
    """What runs each stage once, and how many units of work that is (seconds of audio, frames, characters), by name."""
    manifest = omni.manifest
    actions: dict[str, Action] = {}
    units: dict[str, float] = {}
    if manifest.vision is not None:
        image = example_image()
        actions["vision"] = lambda: omni.vision.encode(image)
        units["vision"] = 1.0
    if manifest.audio is not None:
        audio = example_audio(manifest.audio.mel.sample_rate_hz)
        actions["audio"] = lambda: omni.audio_encoder.encode(audio)
        units["audio"] = AUDIO_SECONDS
    if manifest.ocr is not None:
        picture = example_image()
        actions["ocr"] = lambda: omni.ocr.recognise(picture)
        units["ocr"] = len(omni.ocr.recognise(picture).ids)
    rate_hz = 12.5 if manifest.talker is None else manifest.talker.frame_rate_hz
    frames = round(SPEECH_SECONDS * rate_hz)
    if manifest.text_input is not None:

        def say() -> list[tuple[int, int]]:
            return list(omni.talker.start_text(SamplingOptions()).frames([SPOKEN_TEXT]))

        frames = len(say())
        actions["talker"] = say
        units["talker"] = frames
    elif manifest.talker is not None:
        frames = max(1, min(frames, omni.reference_talker.max_frames))
        actions["talker"] = lambda: list(omni.reference_talker.frames(frames, SPEECH_SAMPLING))
        units["talker"] = frames
    codec, bins = manifest.codec, 0
    if codec is not None:
        codes = np.random.default_rng(0).integers(codec.codebook_size, size=(frames, codec.codebooks))
        actions["codec"] = lambda: omni.codec.decode(codes)
        units["codec"] = frames / rate_hz
    if manifest.vocoder is not None:
        bins = manifest.vocoder.mel_bins
        mel = np.random.default_rng(0).random((frames, bins), dtype=np.float32)
        actions["vocoder"] = lambda: omni.vocoder.speak(mel, rate_hz)
        units["vocoder"] = frames / rate_hz
    return actions, units


def measure_stages(omni: Omni, rounds: int) -> dict[str, Any]:
    """Milliseconds of each stage the bundle has, and the speech real-time factor where it can speak."""
    actions, units = stage_actions(omni)
    seconds = interleave(actions, rounds)
    result: dict[str, Any] = {}
    for name, samples in seconds.items():
        result[name] = {"ms": scaled(samples, 1000).to_json()}
        per_unit = summarise(samples).median / units[name]
        if name == "talker":
            result[name]["frames_per_s"] = round(1 / per_unit, 1)
        elif name == "ocr":
            result[name]["characters_per_s"] = round(1 / per_unit, 1)
        elif name != "vision":
            result[name]["ms_per_second_of_audio"] = round(1000 * per_unit, 3)
    if can_speak(omni.manifest):
        stage = omni.manifest.talker
        assert stage is not None
        spoken = units["talker"] / stage.frame_rate_hz
        parts = zip(*(seconds[name] for name in ("talker", "codec", "vocoder")), strict=True)
        result["speech"] = summarise([sum(part) / spoken for part in parts]).to_json()
    return result


def measure_requests(omni: Omni, rounds: int) -> dict[str, dict[str, Any]]:
    """Whole requests with warm sessions: milliseconds to the first token and to the first audio, by prompt."""
    manifest = omni.manifest
    inputs: dict[str, dict[str, Any]] = {"text": {}}
    if can_see(manifest):
        inputs["image"] = {"images": [example_image()]}
    if can_hear(manifest):
        audio = example_audio(16_000 if manifest.audio is None else manifest.audio.mel.sample_rate_hz, 2.0)
        inputs["audio"] = {"audio": audio}
    speaks = can_speak(manifest)
    samples: dict[str, dict[str, list[float]]] = {
        name: {"first_token": [], "first_audio": []} for name in inputs
    }
    for index in range(rounds + 1):
        for name, options in inputs.items():
            heard: list[float] = []
            start = time.perf_counter()
            reply = omni.generate(
                "What is this?",
                **options,
                max_new_tokens=REPLY_TOKENS,
                speech=speaks,
                seed=0,
                on_audio=_noting_the_time(heard),
            )
            if index:  # the first round loads and warms up
                samples[name]["first_token"].append(reply.timings["first_token"])
                if heard:  # a reply may have nothing that can be spoken
                    samples[name]["first_audio"].append(heard[0] - start)
    return {
        name: {f"{what}_ms": scaled(values, 1000).to_json() for what, values in kinds.items() if values}
        for name, kinds in samples.items()
    }


def _noting_the_time(heard: list[float]) -> OnAudio:
    return lambda samples: heard.append(time.perf_counter())


def scaled(samples: list[float], factor: float) -> Summary:
    return summarise([factor * value for value in samples])
