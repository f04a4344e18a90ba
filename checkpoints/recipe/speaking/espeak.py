"""The teacher: espeak-ng through its C library, which says when each sound starts.

The library speaks hundreds of times faster than real time, so speech is made on demand and never stored or
downloaded. The same text has the same sounds and timing, but the samples differ a little each time: the library
carries the phase of the voice over from one utterance to the next. It holds one global voice: use one
:class:`Espeak` a process.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIBRARY = "libespeak-ng.so.1"  # Debian and Ubuntu: libespeak-ng1
SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: hand samples to the callback, return when all are made
BUFFER_MS = 200
WITH_PHONEME_EVENTS = 1
UTF8 = 1
IPA = 2  # of espeak_TextToPhonemes
RATE, VOLUME, PITCH, RANGE = 1, 2, 3, 4  # espeak_PARAMETER
LIST_END, WORD, PHONEME = 0, 1, 7  # espeak_EVENT_TYPE
SEPARATOR = "|"
STRESSES = "',"  # primary, secondary
UNSTRESSED_MARKS = "%="


@dataclass(frozen=True)
class Voice:
    """One way of speaking; the numbers are espeak's own (words a minute; 0…100)."""

    name: str = "en-us"
    words_per_minute: int = 150
    pitch: int = 50
    pitch_range: int = 40
    volume: int = 100


@dataclass(frozen=True)
class SpokenSound:
    """A sound, ``'`` or ``,`` before a stressed one (``'oU``), ``_`` for a pause."""

    symbol: str
    start_sample: int
    word_position: int
    """Index in the text of the first letter of the word it belongs to."""


@dataclass(frozen=True)
class Utterance:
    samples: NDArray[np.float32]
    sample_rate_hz: int
    sounds: tuple[SpokenSound, ...]


GLOTTAL_STOP = ("?", "t2")
"""espeak's "?" would be taken for the mark; it is a kind of t ("button"), and so is its t2."""
_NO_MARKS = {ord(c): None for c in UNSTRESSED_MARKS}


class MismatchError(Exception):
    """The sounds spoken are not those written down, so that the stresses cannot be told."""


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # from 1, in characters
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Espeak:
    """espeak-ng with one voice."""

    def __init__(self, voice: Voice = Voice()) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise RuntimeError(
                f"{LIBRARY} not found: install espeak-ng (Debian: apt install espeak-ng)"
            ) from error
        self.sample_rate_hz: int = self._library.espeak_Initialize(
            SYNCHRONOUS, BUFFER_MS, None, WITH_PHONEME_EVENTS
        )
        if self.sample_rate_hz <= 0:
            raise RuntimeError("espeak-ng did not start: is its data (espeak-ng-data) installed?")
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._callback = _Callback(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)
        self._blocks: list[NDArray[np.int16]] = []
        self._events: list[tuple[int, int, int, str]] = []
        self.use(voice)

    def restart(self) -> None:
        """Take the library back from another user in this process: it holds one voice and one callback."""
        self._library.espeak_SetSynthCallback(self._callback)
        self.use(self._voice)

    def use(self, voice: Voice) -> None:
        self._voice = voice
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise RuntimeError(f"espeak-ng has no voice {voice.name!r}")
        settings = (
            (RATE, voice.words_per_minute),
            (VOLUME, voice.volume),
            (PITCH, voice.pitch),
            (RANGE, voice.pitch_range),
        )
        for parameter, value in settings:
            self._library.espeak_SetParameter(parameter, value, 0)

    def speak(self, text: str) -> Utterance:
        """Say ``text``.

        Raises:
            MismatchError: the stresses could not be told (rare; such a text is left out of the corpus).
        """
        self._blocks, self._events = [], []
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, UTF8, None, None)
        samples = np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.int16)
        written = [s for s in self.phonemes(text) if not s.startswith("_")]
        sounds, taken = [], 0
        for kind, position, sample, name in self._events:
            if kind != PHONEME:
                continue
            symbol = "_"
            if not name.startswith("_"):
                name = name.replace(*GLOTTAL_STOP)
                if taken == len(written) or written[taken].lstrip(STRESSES) != name:
                    raise MismatchError(text)
                symbol = written[taken]
                taken += 1
            sounds.append(SpokenSound(symbol, sample, position - 1))
        if taken != len(written):
            raise MismatchError(text)
        return Utterance((samples / np.float32(32768)).astype(np.float32), self.sample_rate_hz, tuple(sounds))

    def phonemes(self, text: str) -> list[str]:
        """The sounds of a text with their stresses, as espeak writes them; it needs no synthesis."""
        return [symbol for word in self.words(text) for symbol in word]

    def words(self, text: str, ipa: bool = False) -> list[list[str]]:
        """The sounds of each word, by espeak's names or in IPA; some pairs of small words ("of the") are one word."""
        mode = ord(SEPARATOR) << 8 | (IPA if ipa else 0)
        pointer = ctypes.c_char_p(text.encode())
        words: list[list[str]] = []
        while pointer.value is not None:  # one clause a call; the library moves the pointer on
            clause = self._library.espeak_TextToPhonemes(ctypes.byref(pointer), UTF8, mode)
            for word in clause.decode().translate(_NO_MARKS).split():
                symbols = [symbol for symbol in word.split(SEPARATOR) if symbol]
                words.append(symbols if ipa else [symbol.replace(*GLOTTAL_STOP) for symbol in symbols])
        return words

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type != LIST_END:
            event = events[i]
            name = bytes(event.id.string).split(b"\0")[0].decode() if event.type == PHONEME else ""
            self._events.append((event.type, event.text_position, event.sample, name))
            i += 1
        return 0
