"""Who reads aloud: espeak-ng in its accents and variants, Flite's voices and Pico's; some are never trained on.

Three synthesizers, because a model that knows one alone learns its artefacts. The first two are plain C libraries
(Debian: ``libespeak-ng1``, ``libflite1``); all speak a hundred times faster than real time or more.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace

import numpy as np
import soxr
from numpy.typing import NDArray

from . import pico
from .pico import Pico
from .seeds import Split
from .speaking.espeak import PHONEME, UTF8, Espeak, Voice
from .world.lexicon import words
from .world.phrasing import chance, pick

SAMPLE_RATE_HZ = 16_000

SOUNDS = words(
    "_ 0 3 3: ; @ @2 @5 @L A: A@ D E I I# I2 IR N O2 O: O@ S T U U@ V VR a a# aI aI2 aU aa b d dZ e@ eI f g h i i: j k "
    "l m n o@ oU p r r- s t t# t[ tS u: v w w# z Z OI i@ O aI@ aU@ ?"
)
"""espeak-ng's names of the sounds of its English accents; the first is a pause."""

ACCENTS = (
    "en-us",
    "en-us",
    "en-us",
    "en",
    "en",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-us-nyc",
)
HELD_OUT_ACCENTS = ("en-gb-x-gbcwmd", "en-029")
VARIANTS = (
    "", "", "m1", "m2", "m3", "m4", "m6", "m7", "m8", "f1", "f2", "f3", "f5", "Alex", "Alicia", "Andy", "Annie",
    "Denis", "Diogo", "Gene", "Henrique", "Hugo", "Jacky", "Lee", "Marco", "Mario", "Mike", "Storm", "anika",
    "antonio", "aunty", "belinda", "benjamin", "boris", "caleb", "croak", "david", "ed", "edward", "grandma",
    "grandpa", "gustave", "iven", "iven3", "john", "kaukovalta", "klatt", "klatt2", "klatt4", "klatt6", "linda", "max",
    "michel", "miguel", "pablo", "paul", "quincy", "rob", "robosoft", "robosoft3", "sandro", "shelby", "steph",
    "steph3", "travis", "zac", "whisper", "Tweaky",
)  # fmt: skip
HELD_OUT_VARIANTS = (
    "m5", "f4", "Andrea", "Michael", "adam", "edward2", "iven2", "klatt3", "marcelo", "norbert", "pedro", "robert",
    "steph2", "victor", "Gene2", "robosoft4",
)  # fmt: skip
FLITE_VOICES = ("kal", "kal16", "awb", "rms")
HELD_OUT_FLITE_VOICES = ("slt",)
FLITE_SHARE = 0.2
PICOS_WORDS_PER_MINUTE = 160


@dataclass(frozen=True)
class Reader:
    """A voice and a manner: ``speed`` resamples (pitch, formants and pace together), 1 leaves them.

    ``pitch_factor`` is for Pico and Flite (whose voice rms ignores it); ``pitch``, ``pitch_range`` and ``word_gap`` are
    for espeak-ng.
    """

    synthesizer: str
    voice: str
    words_per_minute: int
    pitch: int
    pitch_range: int
    word_gap: int
    speed: float
    pitch_factor: float = 1.0


def draw_reader(rng: np.random.Generator, unseen: bool) -> Reader:
    """A random reader; ``unseen`` takes voices that training never uses."""
    flite = chance(rng, FLITE_SHARE)
    if flite:
        voice = pick(rng, HELD_OUT_FLITE_VOICES if unseen else FLITE_VOICES)
    else:
        held_out_accent = unseen and chance(rng, 0.3)
        accent = pick(rng, HELD_OUT_ACCENTS if held_out_accent else ACCENTS)
        variant = pick(rng, HELD_OUT_VARIANTS if unseen else VARIANTS)
        voice = f"{accent}+{variant}" if variant else accent
    return Reader(
        synthesizer="flite" if flite else "espeak",
        voice=voice,
        words_per_minute=int(np.clip(rng.normal(160, 25), 100, 230)),
        pitch=int(np.clip(rng.normal(50, 18), 5, 95)),
        pitch_range=int(np.clip(rng.normal(50, 20), 0, 100)),
        word_gap=int(rng.integers(0, 12)) if chance(rng, 0.25) else 0,
        speed=float(np.clip(rng.normal(1, 0.06), 0.85, 1.18)),
    )


def in_another_throat(reader: Reader, rng: np.random.Generator) -> Reader:
    """Training's readers: most speak with shorter or longer vocal tracts and other pitches at an unchanged pace.

    Flite has four voices to train on, all of them men's; its woman's voice, held out, is heard worst.
    """
    if not chance(rng, 0.7):
        return reader
    size = float(np.exp(rng.uniform(np.log(0.85), np.log(1.28))))
    return replace(
        reader,
        words_per_minute=round(reader.words_per_minute / size),
        speed=reader.speed * size,
        pitch_factor=float(rng.uniform(0.8, 2.0)) / size,
    )


def pico_reader(voice: str, rng: np.random.Generator) -> Reader:
    """Pico, for training alone."""
    words_per_minute = int(np.clip(rng.normal(165, 35), 100, 280))
    speed = float(np.clip(rng.normal(1, 0.06), 0.85, 1.18))
    return in_another_throat(Reader("pico", voice, words_per_minute, 50, 50, 0, speed), rng)


def foreign_reader(language: str, rng: np.random.Generator) -> Reader:
    """espeak-ng in another language, in a variant that English has in training, too."""
    drawn = draw_reader(rng, unseen=False)
    variant = pick(rng, VARIANTS)
    voice = f"{language}+{variant}" if variant else language
    return in_another_throat(replace(drawn, synthesizer="espeak", voice=voice), rng)


def is_unseen(split: Split, index: int) -> bool:
    """Outside training, samples alternate: even ones in voices that were trained on, odd ones not."""
    return split != "train" and index % 2 == 1


class _FliteWave(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


class Flite:
    """Flite's voices by name."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
            for name in ("usenglish", "cmulex"):
                ctypes.CDLL(f"libflite_{name}.so.1", mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise RuntimeError(
                "libflite.so.1 not found: install Flite (Debian: apt install libflite1)"
            ) from error
        self._library.flite_init()
        self._library.flite_text_to_wave.restype = ctypes.POINTER(_FliteWave)
        self._library.flite_text_to_wave.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
        self._library.delete_wave.argtypes = (ctypes.POINTER(_FliteWave),)
        self._feature = self._library.flite_feat_set_float
        self._feature.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float)
        self._voices: dict[str, int] = {}

    def _voice(self, name: str) -> int:
        if name not in self._voices:
            register = getattr(ctypes.CDLL(f"libflite_cmu_us_{name}.so.1"), f"register_cmu_us_{name}")
            register.restype = ctypes.c_void_p
            register.argtypes = (ctypes.c_char_p,)
            self._voices[name] = register(None)
        return self._voices[name]

    def samples(
        self, text: str, name: str, stretch: float, pitch_factor: float = 1.0
    ) -> tuple[NDArray[np.float32], int]:
        """Samples and their rate; ``stretch`` above 1 is slower."""
        voice = self._voice(name)
        features = ctypes.cast(voice + ctypes.sizeof(ctypes.c_void_p), ctypes.POINTER(ctypes.c_void_p))[0]
        self._feature(features, b"duration_stretch", stretch)
        self._feature(features, b"f0_shift", pitch_factor)
        wave = self._library.flite_text_to_wave(text.encode(), voice)
        data = (
            np.ctypeslib.as_array(wave.contents.samples, (wave.contents.num_samples,)).astype(np.float32)
            / 32768
        )
        rate: int = wave.contents.sample_rate
        self._library.delete_wave(wave)
        return data, rate


class _PlainEspeak(Espeak):
    """espeak-ng for its samples alone, without the account of its sounds."""

    WORD_GAP = 7  # espeak_PARAMETER: extra pause between words, in 10 ms

    def samples(self, text: str, reader: Reader) -> NDArray[np.float32]:
        self._library.espeak_SetSynthCallback(self._callback)  # the library has one, whoever started it last
        self.use(Voice(reader.voice, reader.words_per_minute, reader.pitch, reader.pitch_range))
        self._library.espeak_SetParameter(self.WORD_GAP, reader.word_gap, 0)
        self._blocks, self._events = [], []
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, UTF8, None, None)
        return np.concatenate(self._blocks).astype(np.float32) / 32768

    def sounds(self) -> list[tuple[int, str]]:
        """The sounds of the text said last: (first sample, name)."""
        return [
            (sample, "_" if name.startswith("_") else name)
            for kind, _, sample, name in self._events
            if kind == PHONEME
        ]


class Readers:
    """Reads texts in any voice, at 16 kHz. espeak-ng keeps global state: use it from one thread.

    The same text in the same voice is the same again but for espeak's flutter, whose phase goes on.
    """

    def __init__(self) -> None:
        self._espeak = _PlainEspeak()
        self._flite = Flite()
        self._pico: Pico | None = None
        self._seed_noise = ctypes.CDLL(None).srand

    def read(self, text: str, reader: Reader) -> NDArray[np.float32]:
        """Samples (n,) at 16 kHz, as the synthesizer made them (their loudness differs)."""
        return self.read_with_sounds(text, reader)[0]

    def read_with_sounds(
        self, text: str, reader: Reader
    ) -> tuple[NDArray[np.float32], list[tuple[float, str]] | None]:
        """Samples, and when each sound starts in seconds; only espeak-ng tells the sounds."""
        self._seed_noise(1)  # breath comes from the C library's rand()
        if reader.synthesizer == "flite":
            samples, rate = self._flite.samples(
                text, reader.voice, 160 / reader.words_per_minute, reader.pitch_factor
            )
        elif reader.synthesizer == "pico":
            self._pico = self._pico or Pico()
            pace = reader.words_per_minute / PICOS_WORDS_PER_MINUTE
            samples, rate = self._pico.samples(text, reader.voice, pace, reader.pitch_factor), pico.RATE_HZ
        else:
            samples, rate = self._espeak.samples(text, reader), self._espeak.sample_rate_hz
        heard_rate = rate * reader.speed
        out: NDArray[np.float32] = soxr.resample(samples, heard_rate, SAMPLE_RATE_HZ, "LQ")
        if reader.synthesizer != "espeak":
            return out, None
        return out, [(sample / heard_rate, name) for sample, name in self._espeak.sounds()]
