"""Text in, Talker frames out: the phonemizer and the pointer, one behind the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .phonemes import Phonemes
from .phonemizer import Phonemizer
from .pointer import Answer, Chooser, Frame, Graphs, Pointer, Query, best


class TextPointer:
    """The frames of a text that comes in pieces, each as soon as the text so far decides it.

    Args:
        graphs: what computes; see :class:`muomni.speech.pointer.Graphs`.
        phonemes: their numbers.
        choose_base, choose_residual: logits to a code.

    Example:
        >>> frames = list(TextPointer(graphs, phonemes).frames(["Hel", "lo."]))
    """

    def __init__(
        self, graphs: Graphs, phonemes: Phonemes, choose_base: Chooser = best, choose_residual: Chooser = best
    ) -> None:
        self._phonemizer = Phonemizer(graphs.letters, phonemes)
        self._pointer = Pointer(graphs, choose_base, choose_residual)

    @property
    def over(self) -> bool:
        """No frame comes any more."""
        return self._pointer.over

    @property
    def cut_phonemes(self) -> int:
        """Phonemes that would have gone on for too long, and were ended."""
        return self._pointer.cut_phonemes

    @property
    def notes(self) -> list[str]:
        """What the listener should know about the text read so far."""
        return self._phonemizer.notes

    def push(self, text: str) -> None:
        """More text, cut anywhere."""
        self._phonemizer.push(text)

    def finish(self) -> None:
        """No more text comes."""
        self._phonemizer.finish()

    def next_frame(self) -> Frame | None:
        """The next frame; None while more text must come, and when it is over."""
        return None if self.query() is None else self._pointer.next_frame()

    def query(self) -> Query | None:
        """What the next frame is computed from, see :class:`muomni.speech.pointer.Pointer`; None as there."""
        while (query := self._pointer.query()) is None and not self.over:
            if not self._read_on():
                return None
        return query

    def take(self, *answer: *Answer) -> Frame:
        """The frame that the Talker's answer to :meth:`query` makes."""
        return self._pointer.take(*answer)

    def frames(self, pieces: Iterable[str]) -> Iterator[Frame]:
        """All frames of a whole text in pieces; a piece is taken when the ones before it are spoken."""
        coming = iter(pieces)
        while not self.over:
            if (frame := self.next_frame()) is not None:
                yield frame
            elif (piece := next(coming, None)) is not None:
                self.push(piece)
            else:
                self.finish()

    def _read_on(self) -> bool:
        """Phonemize a word more; False when there is none for now."""
        ids = self._phonemizer.read()
        self._pointer.push(ids)
        if self._phonemizer.finished:
            self._pointer.finish()
        return bool(ids) or self._phonemizer.finished
