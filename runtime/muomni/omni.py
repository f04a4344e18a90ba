"""Omni: a bundle, ready to answer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .bundle.demo import demo_bundle
from .bundle.folder import open_bundle
from .bundle.manifest import Manifest
from .engine.conversation import Conversation
from .engine.prompt import Request
from .engine.timings import Stopwatch
from .errors import InputError, MuomniError
from .models.registry import Models
from .models.sampling import SamplingOptions
from .ort.session import check_device, providers_for
from .ort.threads import thread_policy
from .replies import Reply

if TYPE_CHECKING:
    from .engine.batch import BatchRequest, OnResult
    from .engine.generation import OnText
    from .engine.speaking import OnAudio
    from .media.audio import AudioSource
    from .media.image import ImageSource
    from .media.video import VideoSource
    from .models.audio_encoder import AudioEncoder
    from .models.codec import Codec
    from .models.reference_talker import ReferenceTalker
    from .models.talker import Talker
    from .models.thinker import Thinker
    from .models.tokenizer import Tokenizer
    from .models.vision import Vision
    from .models.vocoder import Vocoder
    from .replies import Speech

DEFAULT_ROWS = 16  # of a batch


class Omni:
    """A loaded bundle. Make one with :meth:`load`; it may be shared between threads.

    The stages (:attr:`thinker`, :attr:`vision`, …) can be used on their own; each loads its graph when it is
    first used.
    """

    def __init__(self, stages: Models) -> None:
        self._stages = stages

    @classmethod
    def load(
        cls, path: str | os.PathLike[str] | None = None, device: str = "auto", threads: int | None = None
    ) -> Omni:
        """Open a bundle.

        Args:
            path: the bundle's folder; None takes the demo that comes with muomni.
            device: ``cpu``; ``cuda``, which is an error where it cannot be had; or ``auto``, CUDA where
                ONNX Runtime offers it, else the CPU.
            threads: threads of each session; None takes ``MUOMNI_THREADS``, or what measurement says for each
                graph on this machine (see :mod:`muomni.ort.threads`).

        Raises:
            BundleError: the folder is not a bundle, or not whole.
            DeviceError: CUDA was asked for and is not there.
            InputError: an unknown device or a thread count below 1.
            MissingPackageError: ONNX Runtime is not installed.
        """
        start = time.perf_counter()
        checked = check_device(device)
        policy = thread_policy(threads)
        bundle = open_bundle(demo_bundle() if path is None else path)
        providers_for(checked)
        return cls(Models(bundle, checked, policy, time.perf_counter() - start))

    @property
    def manifest(self) -> Manifest:
        return self._stages.bundle.manifest

    @property
    def threads(self) -> int:
        """The most threads any session has."""
        return self._stages.threads.most

    @property
    def providers(self) -> dict[str, list[str]]:
        """What the graphs loaded so far really run on."""
        return self._stages.providers()

    @property
    def tokenizer(self) -> Tokenizer:
        return self._stages.tokenizer()

    @property
    def thinker(self) -> Thinker:
        return self._stages.thinker()

    @property
    def vision(self) -> Vision:
        return self._stages.vision()

    @property
    def audio_encoder(self) -> AudioEncoder:
        return self._stages.audio_encoder()

    @property
    def reference_talker(self) -> ReferenceTalker:
        return self._stages.reference_talker()

    @property
    def talker(self) -> Talker:
        return self._stages.talker()

    @property
    def codec(self) -> Codec:
        return self._stages.codec()

    @property
    def vocoder(self) -> Vocoder:
        return self._stages.vocoder()

    def verify(self) -> None:
        """Check the sha256 of every file of the bundle.

        Raises:
            BundleError: a file changed since export.
        """
        self._stages.bundle.verify()

    def chat(self) -> Conversation:
        """A new, empty conversation."""
        return Conversation(self._stages)

    def generate_batch(
        self,
        requests: Sequence[BatchRequest | str],
        *,
        rows: int = DEFAULT_ROWS,
        on_result: OnResult | None = None,
    ) -> list[Reply | MuomniError]:
        """Answer many requests, ``rows`` at a time, each with the tokens it would have alone.

        Args:
            requests: texts, or :class:`muomni.BatchRequest` with media and options.
            rows: requests that decode together.
            on_result: called with a request's index and its reply or error as soon as it is finished.

        Returns:
            For each request its reply, or the error that it met; one bad request does not stop the rest.
        """
        from .engine.batch import BatchRequest, BatchRun

        wanted = [BatchRequest(Request(text=r)) if isinstance(r, str) else r for r in requests]
        return BatchRun(self._stages, rows, on_result).run(wanted)

    def generate(
        self,
        text: str | None = None,
        *,
        images: Sequence[ImageSource] = (),
        audio: AudioSource | None = None,
        video: VideoSource | None = None,
        prompt: str | None = None,
        video_frames: int | None = None,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        seed: int | None = None,
        stop: str | Sequence[str] = (),
        truncate: bool = False,
        speech: bool = False,
        speech_temperature: float | None = None,
        speech_top_k: int = 50,
        speech_frames: int | None = None,
        on_text: OnText | None = None,
        on_audio: OnAudio | None = None,
    ) -> Reply:
        """Answer one request; nothing of it is remembered (see :meth:`chat` for that).

        Args:
            text: question or instruction.
            images: each a path, encoded bytes, a PIL image or an array (H, W, 3).
            audio: a path, encoded bytes, or ``(samples, sample_rate)``.
            video: a path, encoded bytes, or a sequence of frames.
            prompt: question for media without ``text``; None takes the bundle's default.
            video_frames: evenly spaced frames to look at; None takes the bundle's default.
            max_new_tokens: at most this many ids are generated.
            temperature, top_k, top_p, repetition_penalty, seed: see :class:`muomni.SamplingOptions`;
                the default is greedy.
            stop: strings that end the reply; they are not part of its text.
            truncate: shorten what does not fit the context, and say so in ``notes``; off, it is an error.
            speech: speak as well.
            speech_temperature, speech_top_k, speech_frames: see :class:`muomni.SpeechOptions`.
            on_text: called with each piece of text as it is settled.
            on_audio: with ``speech``, called with float32 samples (m,) as they are made; where the Talker reads
                text, it begins while the reply is still being written.

        Raises:
            InputError: an unusable argument; MediaError: an unreadable file.
            ContextError: the prompt does not fit the context.
            StageError: the bundle has no such stage.
            BundleError: a file of the bundle changed.
        """
        sampling = SamplingOptions(temperature, top_k, top_p, repetition_penalty, seed)
        options = None
        if speech:
            from .engine.speaking import SpeechOptions

            options = SpeechOptions(speech_temperature, speech_top_k, speech_frames, seed)
        return self.chat().say(
            text,
            images=images,
            audio=audio,
            video=video,
            prompt=prompt,
            video_frames=video_frames,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            truncate=truncate,
            speech=options,
            on_text=on_text,
            on_audio=on_audio,
        )

    def speak(
        self,
        text: str | Iterable[str],
        *,
        temperature: float | None = None,
        seed: int | None = None,
        on_audio: OnAudio | None = None,
    ) -> Speech:
        """Say a text as it is.

        Args:
            text: any English; or pieces of it, which may come while the speech is made.
            temperature: of the codes; None takes the likeliest ones.
            seed: makes what is drawn repeatable.
            on_audio: called with float32 samples (m,) as they are made; they are those of the result.

        Raises:
            InputError: nothing in the text can be spoken.
            StageError: the bundle has no Talker that can be told what to say.
        """
        from .engine.speaking import Speaker, SpeechOptions

        self._stages.talker()  # refuses a Talker that cannot
        self._stages.preload_speech()
        speaker = Speaker(self._stages, SpeechOptions(temperature, seed=seed), Stopwatch())
        speech = speaker.speak([text] if isinstance(text, str) else text, on_audio)
        if not len(speech.samples):
            raise InputError("there is nothing in the text that can be spoken; give words or numbers")
        return speech
