"""Text in, Talker frames out: the phonemizer and the pointer, one behind the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .phonemes import Phonemes
from .phonemizer import Phonemizer
from .pointer import Chooser, Frame, Graphs, Pointer, best

PIECE_CHARACTERS = 64
"""A long text is phonemized by so much at a time: its first words are spoken before its last ones are looked at."""


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
        self._unread = ""
        self._finished = False

    @property
    def over(self) -> bool:
        """No frame comes any more."""
        return self._pointer.over

    @property
    def cut_phonemes(self) -> int:
        """Phonemes that would have gone on for too long, and were ended."""
        return self._pointer.cut_phonemes

    def push(self, text: str) -> None:
        """More text, cut anywhere."""
        self._unread += text

    def finish(self) -> None:
        """No more text comes."""
        self._finished = True

    def next_frame(self) -> Frame | None:
        """The next frame; None while more text must come, and when it is over."""
        while (frame := self._pointer.next_frame()) is None and not self.over:
            if not self._read_on():
                return None
        return frame

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
        """Phonemize a little more; False when there is nothing to read."""
        if self._unread:
            self._phonemizer.feed(self._unread[:PIECE_CHARACTERS])
            self._unread = self._unread[PIECE_CHARACTERS:]
        elif self._finished and not self._phonemizer.finished:
            self._phonemizer.finish()
            self._pointer.finish()
        else:
            return False
        self._pointer.push(self._phonemizer.phonemes)
        self._phonemizer.phonemes.clear()
        return True
