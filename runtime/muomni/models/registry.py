"""The models of one bundle, each loaded when it is first used.

Their modules are imported then, too: a text chat starts without the code for media and speech.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from muomni import logs
from muomni.bundle.contract import graph_contracts
from muomni.bundle.folder import Bundle
from muomni.bundle.manifest import GriffinLimVocoder, Manifest, SpectralVocoder, TalkerStage
from muomni.errors import BundleError, StageError, UsageError
from muomni.ort.device_memory import DeviceMemory
from muomni.ort.placement import by_provider
from muomni.ort.providers import Device
from muomni.ort.session import GraphSession
from muomni.ort.threads import SessionThreads, ThreadPolicy

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
        self.bundle, self.device, self.threads = bundle, device, threads
        self._memory, self._cuda_graphs = memory, cuda_graphs
        self._unreported_seconds = load_seconds
        self._contracts = graph_contracts(bundle.manifest)
        self._made: dict[str, Any] = {}
        self._sessions: dict[str, GraphSession] = {}
        self._batch_sessions: dict[str, GraphSession] = {}
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

    def providers(self, graphs: Iterable[str] | None = None) -> dict[str, list[str]]:
        """Execution providers of graphs, as their sessions report them; None takes all loaded so far."""
        with self._lock:
            loaded = {**self._batch_sessions, **self._sessions}
            wanted = sorted(loaded if graphs is None else set(graphs))
            return {name: list(loaded[name].providers) for name in wanted if name in loaded}

    def placement(self) -> dict[str, dict[str, dict[str, int]]]:
        """Of the graphs loaded so far that run on CUDA: by provider, how many nodes of each operator it runs."""
        with self._lock:
            loaded = {**self._batch_sessions, **self._sessions}
            return {name: by_provider(session.nodes) for name, session in loaded.items() if session.nodes}

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
            self._sessions.clear()
            self._batch_sessions.clear()

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
        return self._once("thinker", lambda: Thinker(self.session(stage.graph), stage))

    def batch_thinker(self) -> Thinker:
        """A Thinker for many rows at once.

        On the CPU a small one gets a session of its own with more threads: with several rows a step has work enough
        for them, with one it has not.
        """
        stage = self._need("thinker", self.manifest.thinker)
        threads = self.threads.for_steps_of_many_rows()
        if self._threads_of(stage.graph) == threads or self.session(stage.graph).memory is not None:
            return self.thinker()

        def make() -> Thinker:
            session = self._batch_sessions[stage.graph] = self._make_session(stage.graph, threads)
            return Thinker(session, stage)

        return self._once("batch thinker", make)

    def vision(self) -> Vision:
        from .vision import Vision

        stage = self._need("vision", self.manifest.vision)
        return self._once("vision", lambda: Vision(self.session(stage.graph), stage))

    def audio_encoder(self) -> AudioEncoder:
        from .audio_encoder import AudioEncoder

        stage = self._need("audio", self.manifest.audio)
        shape = stage.mel.n_fft // 2 + 1, stage.mel.bins
        return self._once(
            "audio",
            lambda: AudioEncoder(self.session(stage.graph), stage, self._array(stage.mel.filters, *shape)),
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
        return self._once("reference talker", lambda: ReferenceTalker(self.session(stage.graph), stage))

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
                self.session(stage.graph),
                self.session(text.phonemizer_graph),
                self.session(text.context_graph),
                stage,
                text,
                phonemes,
                self._array(text.residual_by_base, stage.codebook_size, stage.codebook_size),
            )

        return self._once("talker", make)

    def codec(self) -> Codec:
        from .codec import Codec

        stage = self._need("codec", self.manifest.codec)
        return self._once(
            "codec", lambda: Codec(self.session(stage.graph), self.session(stage.encoder_graph), stage)
        )

    def vocoder(self) -> Vocoder:
        from .vocoder import GriffinLim, Hifigan, Spectral

        stage = self.manifest.vocoder
        if stage is None:
            raise self._lacks("vocoder")

        def make() -> Vocoder:
            if isinstance(stage, GriffinLimVocoder):
                return GriffinLim(stage, self._array(stage.filters, stage.n_fft // 2 + 1, stage.mel_bins))
            if isinstance(stage, SpectralVocoder):
                return Spectral(stage, self.session(stage.graph))
            return Hifigan(stage, self.session(stage.graph))

        return self._once("vocoder", make)

    def ocr(self) -> Ocr:
        from .ocr import Ocr, read_characters

        stage = self._need("ocr", self.manifest.ocr)

        def make() -> Ocr:
            characters = read_characters(self.bundle.file(stage.characters), stage.vocabulary)
            return Ocr(self.session(stage.encoder_graph), self.session(stage.graph), stage, characters)

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

    def session(self, graph: str) -> GraphSession:
        """The session of one graph, by its name in the manifest.

        Raises:
            BundleError: no such graph, or its file changed.
        """
        with self._lock:
            session = self._sessions.get(graph)
            if session is None:
                if graph not in self._contracts:
                    raise BundleError(f"{self.bundle.folder}: no stage of the manifest has a graph {graph!r}")
                session = self._sessions[graph] = self._make_session(graph, self._threads_of(graph))
            return session

    def _threads_of(self, graph: str) -> SessionThreads:
        manifest = self.manifest
        decoders = {stage.graph for stage in manifest.decoders}
        if (text := manifest.text_input) is not None:
            decoders |= {text.phonemizer_graph, text.context_graph}  # a word or a phoneme at a time
        if graph not in decoders:
            return self.threads.for_passes()
        return self.threads.for_steps(manifest.graphs[graph].weight_bytes)

    def _make_session(self, graph: str, threads: SessionThreads) -> GraphSession:
        # Only what is run step by step, in memory that stays where it is, can be captured.
        captures = self._cuda_graphs and graph in {stage.graph for stage in self.manifest.decoders}
        file, contract = self.bundle.graph_file(graph), self._contracts[graph]
        return GraphSession(file, contract, self.device, threads, self._memory, captures)

    def _array(self, name: str, *shape: int) -> NDArray[np.float32]:
        path: Path = self.bundle.file(name)
        try:
            array = np.asarray(np.load(path, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise BundleError(f"{path}: not a numpy array ({error})") from error
        if array.shape != shape or array.dtype.kind != "f":
            raise BundleError(f"{path}: expected floats of shape {shape}, got {array.dtype} {array.shape}")
        return np.asarray(array, dtype=np.float32)
