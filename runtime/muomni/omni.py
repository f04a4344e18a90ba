"""Omni: a bundle, ready to answer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Unpack

from .bundle.demo import demo_bundle
from .bundle.folder import open_bundle
from .bundle.manifest import Manifest
from .engine.engine import Engine
from .engine.slots import check_slots
from .engine.stream import OnText, Stream
from .engine.turn import LoneTurn
from .errors import InputError, MuomniError
from .models.registry import Models
from .ort.providers import check_device, device_for, providers_for, runs_on_cuda
from .ort.threads import thread_policy
from .replies import Reply
from .requests import Request, RequestOptions, as_request

if TYPE_CHECKING:
    from .engine.batch import OnResult
    from .engine.conversation import Conversation
    from .engine.playback import OnAudio
    from .engine.prefix_cache import PrefixCache
    from .models.audio_encoder import AudioEncoder
    from .models.codec import Codec
    from .models.ocr import Ocr
    from .models.reference_talker import ReferenceTalker
    from .models.talker import Talker
    from .models.thinker import Thinker
    from .models.tokenizer import Tokenizer
    from .models.vision import Vision
    from .models.vocoder import Vocoder
    from .replies import Speech

DEFAULT_SLOTS = 16  # of a batch
PREFIX_CACHE_BYTES = 64 << 20


class Omni:
    """A loaded bundle. Make one with :meth:`load`; it may be shared between threads, a conversation may not.

    The models (:attr:`thinker`, :attr:`vision`, …) can be used on their own; each loads its graph when it is
    first used.

    Args:
        prefix_cache_bytes: what the keys and values of recent prompts may take. A prompt that begins as one of
            them did is computed from there on.

    Example:
        >>> with muomni.Omni.load() as omni:
        ...     print(omni.generate("What is two plus three?").text)
    """

    def __init__(self, models: Models, prefix_cache_bytes: int = PREFIX_CACHE_BYTES) -> None:
        self._models = models
        self._prefixes: PrefixCache | None = None
        if prefix_cache_bytes > 0:
            from .engine.prefix_cache import PrefixCache

            self._prefixes = PrefixCache(prefix_cache_bytes)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        device: str = "auto",
        threads: int | None = None,
        prefix_cache_bytes: int = PREFIX_CACHE_BYTES,
        cuda_graphs: bool = False,
    ) -> Omni:
        """Open a bundle.

        Args:
            path: the bundle's folder; None takes the demo that comes with muomni.
            device: ``cpu``; ``cuda``, which is an error where it cannot be had; or ``auto``, what is really fast:
                CUDA where ONNX Runtime offers it and the bundle's decoders are float16, else the CPU.
            threads: threads of each session; None takes ``MUOMNI_THREADS``, or what measurement says for each
                graph on this machine (see :mod:`muomni.ort.threads`).
            prefix_cache_bytes: see above; 0 keeps nothing.
            cuda_graphs: on CUDA, capture a decode step once for each number of rows and size of the cache, and replay
                it: fewer launches, more memory. Whether it pays, ``benchmarks/cuda.py`` measures on your GPU.

        Raises:
            BundleError: the folder is not a bundle, or not whole.
            DeviceError: CUDA was asked for and is not there.
            InputError: an unknown device, a thread count below 1, or CUDA graphs without CUDA.
            MissingPackageError: ONNX Runtime is not installed.
        """
        start = time.perf_counter()
        checked = check_device(device)
        policy = thread_policy(threads)
        bundle = open_bundle(demo_bundle() if path is None else path)
        providers_for(checked)
        used = device_for(checked, bundle.manifest.attention_dtypes)
        if cuda_graphs and not runs_on_cuda(used):
            raise InputError(
                "cuda_graphs: they are for CUDA, and this bundle runs on the CPU here; leave them out"
            )
        spent = time.perf_counter() - start
        return cls(Models(bundle, used, policy, spent, cuda_graphs=cuda_graphs), prefix_cache_bytes)

    def __enter__(self) -> Omni:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all models and what is remembered of prompts; using it afterwards is a UsageError."""
        self._models.close()
        if self._prefixes is not None:
            self._prefixes.clear()

    def warm_up(self) -> None:
        """Load every model, and answer once, so that the first request is as fast as the others.

        Raises:
            BundleError: a file of the bundle changed, or a graph cannot be loaded.
        """
        self._models.warm_up()
        self.generate("a", max_new_tokens=2)

    @property
    def manifest(self) -> Manifest:
        return self._models.manifest

    @property
    def threads(self) -> int:
        """The most threads any session has."""
        return self._models.threads.most

    @property
    def providers(self) -> dict[str, list[str]]:
        """What the graphs loaded so far really run on."""
        return self._models.sessions.providers()

    @property
    def placement(self) -> dict[str, dict[str, dict[str, int]]]:
        """Of each graph loaded so far that runs on CUDA: provider -> operator -> how many of its nodes run there."""
        return self._models.sessions.placement()

    @property
    def tokenizer(self) -> Tokenizer:
        return self._models.tokenizer()

    @property
    def thinker(self) -> Thinker:
        return self._models.thinker()

    @property
    def vision(self) -> Vision:
        return self._models.vision()

    @property
    def audio_encoder(self) -> AudioEncoder:
        return self._models.audio_encoder()

    @property
    def talker(self) -> Talker:
        """The Talker, where it reads text."""
        return self._models.talker()

    @property
    def reference_talker(self) -> ReferenceTalker:
        """The Talker, where it reads no text."""
        return self._models.reference_talker()

    @property
    def codec(self) -> Codec:
        return self._models.codec()

    @property
    def vocoder(self) -> Vocoder:
        return self._models.vocoder()

    @property
    def ocr(self) -> Ocr:
        """The reader of text in pictures."""
        return self._models.ocr()

    def verify(self) -> None:
        """Check the sha256 of every file of the bundle.

        Raises:
            BundleError: a file changed since export.
        """
        self._models.bundle.verify()

    def chat(self) -> Conversation:
        """A new, empty conversation."""
        from .engine.conversation import Conversation

        return Conversation(self._models)

    def engine(self, slots: int = DEFAULT_SLOTS, *, real_time: bool = False) -> Engine:
        """A step loop of your own, for many requests that come and go: what a server is built on.

        Args:
            slots: requests that decode together; 1 decodes each alone.
            real_time: speech is heard as it is made, see :class:`muomni.engine.engine.Engine`.

        Raises:
            InputError: ``slots`` below 1.
        """
        return Engine(self._models, slots, self._prefixes, real_time=real_time)

    def generate(
        self,
        request: Request | str | None = None,
        *,
        on_text: OnText | None = None,
        on_audio: OnAudio | None = None,
        **options: Unpack[RequestOptions],
    ) -> Reply:
        """Answer one request; nothing of it is remembered (see :meth:`chat` for that).

        Args:
            request: a question or instruction; or a :class:`muomni.Request`, which has all options itself.
            options: images, audio, video, max_new_tokens, temperature, speech …: the fields of
                :class:`muomni.Request`, :class:`muomni.SamplingOptions` and (beginning with ``speech_``)
                :class:`muomni.SpeechOptions`; ``speech=True`` speaks.
            on_text: called with each piece of text as it is settled.
            on_audio: with speech, called with float32 samples (m,) as they are made, in a thread of its own;
                where the Talker reads text, it begins while the reply is still being written.

        Raises:
            InputError: an unusable argument; MediaError: an unreadable file.
            ContextError: the prompt does not fit the context.
            StageError: the bundle has no such model.
            BundleError: a file of the bundle changed.
            ExecutionError: ONNX Runtime failed.

        Example:
            >>> omni.generate("What do you see?", images=["photo.jpg"], max_new_tokens=20).text
        """
        with self._stream(as_request(request, **options), stream_text=on_text is not None) as stream:
            return stream.drain(on_text, on_audio)

    def stream(self, request: Request | str | None = None, **options: Unpack[RequestOptions]) -> Stream:
        """Answer one request as an iterator of events; see :class:`muomni.Stream`.

        Raises:
            InputError: an unusable argument. Other errors come as an event.

        Example:
            >>> for event in omni.stream("Hello"):
            ...     if isinstance(event, muomni.TextDelta):
            ...         print(event.text, end="", flush=True)
        """
        return self._stream(as_request(request, **options), stream_text=True)

    def generate_batch(
        self,
        requests: Iterable[Request | str],
        *,
        slots: int = DEFAULT_SLOTS,
        on_result: OnResult | None = None,
    ) -> list[Reply | MuomniError]:
        """Answer many requests, ``slots`` at a time.

        A reply is the same, bit for bit, whatever else is in the batch and however many slots there are. It is
        also what :meth:`generate` gives, up to rounding in the last bit: in 8 and 4 bits ONNX Runtime computes
        rows in pairs, and a lone row otherwise. Where two tokens are equally likely to that bit, they may differ.

        Args:
            requests: texts, or :class:`muomni.Request` with media and options; taken as slots become free.
            slots: requests that decode together.
            on_result: called with a request's index and its reply or error as soon as it is finished.

        Returns:
            For each request its reply, or the error that it met; one bad request does not stop the rest.

        Example:
            >>> [reply.text for reply in omni.generate_batch(["Hello!", "What is two plus three?"])]
        """
        results: dict[int, Reply | MuomniError] = {}
        for index, result in self.stream_batch(requests, slots=slots):
            results[index] = result
            if on_result is not None:
                on_result(index, result)
        return [results[index] for index in range(len(results))]

    def stream_batch(
        self, requests: Iterable[Request | str], *, slots: int = DEFAULT_SLOTS
    ) -> Iterator[tuple[int, Reply | MuomniError]]:
        """As :meth:`generate_batch`, as an iterator: whatever ends it, the replies that came stay.

        Yields:
            The index of a request and its reply or error, in the order in which they are finished.

        Example:
            >>> for index, reply in omni.stream_batch(["Hello!", "What is two plus three?"]):
            ...     print(index, reply)
        """
        from .engine.batch import answer_all

        check_slots(slots)
        if isinstance(requests, (str, Request)):
            raise InputError(
                f"requests: expected several, got one {type(requests).__name__}; give it in a list"
            )
        return answer_all(self._models, requests, slots, self._prefixes)

    def speak(
        self,
        text: str | Iterable[str],
        *,
        temperature: float | None = None,
        seed: int | None = None,
        speed: float = 1.0,
        on_audio: OnAudio | None = None,
    ) -> Speech:
        """Say a text as it is.

        Args:
            text: any English; or pieces of it, which may come while the speech is made.
            temperature: of the codes; None takes the likeliest ones.
            seed: makes what is drawn repeatable.
            speed: rate of speech, 0.5 to 2.
            on_audio: called with float32 samples (m,) as they are made, in a thread of its own; they are those of
                the result.

        Raises:
            InputError: no text, or nothing in it can be spoken.
            StageError: the bundle has no Talker that reads text.

        Example:
            >>> speech = omni.speak("Hello!")
            >>> muomni.write_wav("hello.wav", speech.samples, speech.sample_rate)
        """
        from .engine.saying import say
        from .requests import SpeechOptions

        self._models.talker()  # refuses a Talker that cannot
        options = SpeechOptions(temperature, seed=seed, speed=speed)
        return say(self._models, text, options, on_audio)

    def _stream(self, request: Request, stream_text: bool) -> Stream:
        return Stream(self.engine(1), LoneTurn(self._models, request), stream_text)
