"""Who has which row of one key/value cache: those that decode are in front, and behind them is a prompt."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from muomni.errors import InputError
from muomni.models.registry import Models
from muomni.models.thinker import Thinker
from muomni.ort.kv_cache import KVCache

from .segments import cut
from .sequence import Sequence

if TYPE_CHECKING:
    from .prefix_cache import PrefixCache


class Slots:
    """Rows for up to ``count`` sequences. Live rows stay together, so that a step binds one slice of the cache and
    copies nothing.

    Attributes:
        decoding: sequences that take steps together, in the order of their rows.
        prefilling: whose prompt is being computed, in the row behind those; None where no prompt is.

    Example:
        >>> slots = Slots(models, 4)
        >>> slots.join(sequence)  # and then its prompt is computed in slots.cache, row len(slots.decoding)
        >>> slots.begin_decoding()
        >>> slots.leave(sequence)
    """

    def __init__(self, models: Models, count: int, prefixes: PrefixCache | None = None) -> None:
        self.count = count
        self.decoding: list[Sequence] = []
        self.prefilling: Sequence | None = None
        self._models, self._prefixes = models, prefixes
        self._cache: KVCache | None = None

    @cached_property
    def thinker(self) -> Thinker:
        """What computes the rows."""
        return self._models.thinker() if self.count == 1 else self._models.batch_thinker()

    @property
    def taken(self) -> int:
        """Slots that are not free."""
        return len(self.decoding) + (self.prefilling is not None)

    @property
    def cache(self) -> KVCache:
        """The rows; of a lone slot the sequence's own, or its caller's."""
        assert self._cache is not None, "a sequence has to join first"
        return self._cache

    def join(self, sequence: Sequence) -> None:
        """Take the row behind those that decode; nobody else may be prefilling. What is known of the prompt is there.

        Raises:
            MuomniError: no memory for its row, which is free again.
        """
        row = len(self.decoding)
        if self.count == 1:
            # A lone sequence goes on in its caller's cache, or in one of its own.
            self._cache = sequence.cache or self.thinker.start(sequence.positions + sequence.room)
        else:
            if self._cache is None:
                self._cache = self.thinker.start(1, self.count + self.count % 2)
            self._cache.lengths[row] = 0
            if sequence.cache is not None:
                self._cache.copy_row(row, sequence.cache, 0)
        if self._prefixes is not None and int(self._cache.lengths[row]) == 0:
            known = self._prefixes.restore(sequence.segments, self._cache, row)
            sequence.segments = cut(sequence.segments, known)[1]
            sequence.cached_tokens = known
        self.prefilling = sequence

    def begin_decoding(self) -> None:
        """The prompt has been computed: its sequence takes steps with the others."""
        assert self.prefilling is not None
        self.decoding.append(self.prefilling)
        self.prefilling = None

    def keep(self, sequence: Sequence) -> None:
        """Put aside what one that decodes has in its row: for its caller, or for prompts that begin alike."""
        row, cache = self.decoding.index(sequence), self.cache
        if sequence.cache is not None and sequence.cache is not cache:
            sequence.cache.copy_row(0, cache, row, int(sequence.cache.lengths[0]))
        elif sequence.cache is None and self._prefixes is not None:
            self._prefixes.keep(sequence.whole_prompt, cache, row)

    def leave(self, sequence: Sequence) -> None:
        """Give a sequence's row back, if it has one; the last live row moves into it."""
        free = len(self.decoding)
        if sequence is self.prefilling:
            self.prefilling = None
        elif sequence in self.decoding:
            row, last = self.decoding.index(sequence), free - 1
            if row != last:
                self.cache.copy_row(row, self.cache, last)
                self.decoding[row] = self.decoding[last]
            self.decoding.pop()
            if self.prefilling is not None:
                # The row behind the live ones is the one in which a prompt is computed.
                self.cache.copy_row(last, self.cache, free)
            else:
                free = last
        else:
            return
        if self.count > 1:
            self.cache.lengths[free] = (
                0  # it may compute beside the others, at the first position, to no effect
            )


def check_slots(slots: int) -> None:
    """Raises InputError unless it is a whole number of at least 1."""
    if isinstance(slots, bool) or not isinstance(slots, int) or slots < 1:
        raise InputError(f"slots: expected a whole number of at least 1, got {slots!r}")
