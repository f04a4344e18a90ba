"""The models of one bundle, each loaded when it is first used.

Their modules are imported then, too: a text chat starts without the code for media and speech.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from muomni import logs
from muomni.bundle.folder import Bundle
from muomni.bundle.manifest import GriffinLimVocoder, Manifest, SpectralVocoder, TalkerStage
from muomni.errors import BundleError, StageError, UsageError
from muomni.ort.device_memory import DeviceMemory
from muomni.ort.providers import Device
from muomni.ort.threads import ThreadPolicy

from .sessions import Sessions
from .thinker import Thinker
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from .audio_encoder import AudioEncoder
    from .codec import Codec
    from .grammar import Grammars
    from .ocr import Ocr
    from .reference_talker import ReferenceTalker
    from .talker import Talker
    from .vision import Vision
    from .vocoder import Spectral, Vocoder

S = TypeVar("S")


class Models:
    """Makes models on demand, once each; safe to share between threads.

    Args:
        load_seconds: spent on the bundle so far, see :meth:`take_load_seconds`.
        memory, cuda_graphs: of the sessions, see :class:`muomni.ort.session.GraphSession`.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: Device,
        threads: ThreadPolicy,
        load_seconds: float = 0.0,
        memory: DeviceMemory | None = None,
        cuda_graphs: bool = False,
    ) -> None:
        self.bundle, self.threads = bundle, threads
        self.sessions = Sessions(bundle, device, threads, memory, cuda_graphs)
        self._unreported_seconds = load_seconds
        self._made: dict[str, Any] = {}
        self._closed = False
        self._lock = threading.RLock()

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "a loaded model holds open sessions and cannot be pickled or copied to another process; call "
            "muomni.Omni.load(…) in each process (for example in the initializer of a multiprocessing.Pool)"
        )

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    def take_load_seconds(self) -> float:
        """Seconds spent loading (the bundle, models) that no call has given yet."""
        with self._lock:
            seconds, self._unreported_seconds = self._unreported_seconds, 0.0
        return seconds

    def close(self) -> None:
        """Let go of all models; using one afterwards is a UsageError."""
        with self._lock:
            self._closed = True
            self._made.clear()
            self.sessions.clear()

    def warm_up(self) -> None:
        """Load every model of the bundle.

        Raises:
            BundleError: a file changed, or a graph cannot be loaded.
        """
        manifest = self.manifest
        makers: dict[str, Callable[[], object]] = {
            "tokenizer": self.tokenizer,
            "thinker": self.thinker,
            "vision": self.vision,
            "audio": self.audio_encoder,
            "talker": self.talker if manifest.text_input is not None else self.reference_talker,
            "codec": self.codec,
            "vocoder": self.vocoder,
            "ocr": self.ocr,
        }
        for name, make in makers.items():
            if getattr(manifest, name) is not None:
                make()

    def preload_speech(self) -> None:
        """Load what speaking needs.

        Raises:
            StageError: the bundle lacks one of the models.
        """
        if self.talker_stage().text is not None:
            self.talker()
        else:
            self.reference_talker()
        self.codec()
        self.vocoder()

    def talker_stage(self) -> TalkerStage:
        """Sizes of the Talker, of either kind."""
        return self._need("talker", self.manifest.talker)

    def speech_graphs(self) -> set[str]:
        """The graphs that speech is made with."""
        talker, vocoder = self.talker_stage(), self.vocoder().stage
        graphs = {talker.graph, self.codec().stage.graph}
        if talker.text is not None:
            graphs |= {talker.text.phonemizer_graph, talker.text.context_graph}
        return graphs if isinstance(vocoder, GriffinLimVocoder) else graphs | {vocoder.graph}

    def streaming_vocoder(self) -> Spectral | None:
        """The vocoder, where it can make samples while the Talker's frames still come."""
        from .vocoder import Spectral

        vocoder = self.vocoder()
        same_rate = vocoder.frame_rate_hz == self.talker_stage().frame_rate_hz
        return vocoder if isinstance(vocoder, Spectral) and same_rate else None

    def tokenizer(self) -> Tokenizer:
        entry = self._need("tokenizer", self.manifest.tokenizer)
        return self._once("tokenizer", lambda: Tokenizer(self.bundle.file(entry.file), entry))

    def grammars(self) -> Grammars:
        """The tokenizer's ids for grammars."""
        from .grammar import Grammars

        return self._once("grammars", lambda: Grammars(self.tokenizer()))

    def thinker(self) -> Thinker:
        stage = self._need("thinker", self.manifest.thinker)
        return self._once("thinker", lambda: Thinker(self.sessions.of(stage.graph), stage))

    def batch_thinker(self) -> Thinker:
        """A Thinker for many rows at once, see :meth:`Sessions.of_many_rows`."""
        stage = self._need("thinker", self.manifest.thinker)
        session = self.sessions.of_many_rows(stage.graph)
        if session is self.sessions.of(stage.graph):
            return self.thinker()
        return self._once("batch thinker", lambda: Thinker(session, stage))

    def vision(self) -> Vision:
        from .vision import Vision

        stage = self._need("vision", self.manifest.vision)
        return self._once("vision", lambda: Vision(self.sessions.of(stage.graph), stage))

    def audio_encoder(self) -> AudioEncoder:
        from .audio_encoder import AudioEncoder

        stage = self._need("audio", self.manifest.audio)
        shape = stage.mel.n_fft // 2 + 1, stage.mel.bins
        return self._once(
            "audio",
            lambda: AudioEncoder(
                self.sessions.of(stage.graph), stage, self.bundle.array(stage.mel.filters, *shape)
            ),
        )

    def reference_talker(self) -> ReferenceTalker:
        """The Talker of a bundle whose Talker reads no text.

        Raises:
            StageError: the bundle has none, or one that reads text (see :meth:`talker`).
        """
        from .reference_talker import ReferenceTalker

        stage = self._need("talker", self.manifest.talker)
        if stage.text is not None:
            raise StageError(
                f"{self.bundle.folder}: this bundle's Talker reads text and draws nothing without it"
            )
        return self._once("reference talker", lambda: ReferenceTalker(self.sessions.of(stage.graph), stage))

    def talker(self) -> Talker:
        """The Talker, where it reads text.

        Raises:
            StageError: the bundle has none, or one that reads no text.
        """
        from muomni.speech.phonemes import Phonemes

        from .talker import Talker

        stage = self._need("talker", self.manifest.talker)
        text = stage.text
        if text is None:
            raise StageError(
                f"{self.bundle.folder}: this bundle's Talker reads no text, so it cannot say one; export a checkpoint "
                "whose Talker reads text"
            )

        def make() -> Talker:
            path = self.bundle.file(text.phonemes)
            phonemes = Phonemes.read(path)
            if (len(phonemes.symbols) + 1, phonemes.size) != (text.symbols, text.phoneme_ids):
                raise BundleError(
                    f"{path}: {len(phonemes.symbols)} phonemes make {len(phonemes.symbols) + 1} symbols and "
                    f"{phonemes.size} ids, the manifest says {text.symbols} and {text.phoneme_ids}"
                )
            return Talker(
                self.sessions.of(stage.graph),
                self.sessions.of(text.phonemizer_graph),
                self.sessions.of(text.context_graph),
                stage,
                text,
                phonemes,
                self.bundle.array(text.residual_by_base, stage.codebook_size, stage.codebook_size),
            )

        return self._once("talker", make)

    def codec(self) -> Codec:
        from .codec import Codec

        stage = self._need("codec", self.manifest.codec)
        return self._once(
            "codec",
            lambda: Codec(self.sessions.of(stage.graph), self.sessions.of(stage.encoder_graph), stage),
        )

    def vocoder(self) -> Vocoder:
        from .vocoder import GriffinLim, Hifigan, Spectral

        stage = self.manifest.vocoder
        if stage is None:
            raise self._lacks("vocoder")

        def make() -> Vocoder:
            if isinstance(stage, GriffinLimVocoder):
                return GriffinLim(
                    stage, self.bundle.array(stage.filters, stage.n_fft // 2 + 1, stage.mel_bins)
                )
            if isinstance(stage, SpectralVocoder):
                return Spectral(stage, self.sessions.of(stage.graph))
            return Hifigan(stage, self.sessions.of(stage.graph))

        return self._once("vocoder", make)

    def ocr(self) -> Ocr:
        from .ocr import Ocr, read_characters

        stage = self._need("ocr", self.manifest.ocr)

        def make() -> Ocr:
            characters = read_characters(self.bundle.file(stage.characters), stage.vocabulary)
            return Ocr(
                self.sessions.of(stage.encoder_graph), self.sessions.of(stage.graph), stage, characters
            )

        return self._once("ocr", make)

    def _need(self, name: str, stage: S | None) -> S:
        if stage is None:
            raise self._lacks(name)
        return stage

    def _lacks(self, name: str) -> StageError:
        manifest = self.manifest
        there = [*(["tokenizer"] if manifest.tokenizer is not None else []), *manifest.stages]
        return StageError(
            f"{self.bundle.folder}: this bundle has no {name} (it has {', '.join(there)}); "
            "export a checkpoint that has one"
        )

    def _once(self, name: str, make: Callable[[], S]) -> S:
        made: S | None = self._made.get(name)
        if made is None:
            with self._lock:
                if self._closed:
                    raise UsageError("this Omni was closed; load the bundle again")
                made = self._made.get(name)
                if made is None:
                    start = time.perf_counter()
                    made = self._made[name] = make()
                    spent = time.perf_counter() - start
                    self._unreported_seconds += spent
                    logs.debug("loaded %s of %s in %.1f ms", name, self.bundle.folder, 1000 * spent)
        return made
