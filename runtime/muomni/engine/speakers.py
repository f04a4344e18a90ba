"""All that speaks in an engine: who gets frames next, and the rows of the Talker that they are computed in."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from muomni.errors import MuomniError
from muomni.models.registry import Models
from muomni.models.talker import TalkerRows
from muomni.speech.pointer import Query

from .sequence import Sequence
from .speaking import SpeechStream

GROUP_ROWS = 8
"""Rows that take a Talker's step together in real time. A row of the demo's Talker costs 102 us alone, 74 of two, 62 of
four, 54 of eight, 51 of sixteen; letters, context, codec and vocoder gain little from company: each runs its own."""
FRAMES_WHILE_WRITING, FRAMES_ALONE = 4, 8
"""Frames of a sequence in one step: few while its text goes on and something is heard already, so that neither
the text nor other sequences wait long."""
ENOUGH_AHEAD_S = 0.7
"""Who has so much that was not played yet can wait for another's first sound; more than a chunk's half second, all of
whose frames must be there before any of it is heard."""

Made = NDArray[np.float32] | MuomniError
"""What became of a sequence's turn: samples (m,), m may be 0, or why there are none."""


class Speakers:
    """Sequences that speak, in groups of rows; all groups but the last are full.

    Args:
        real_time: what is made is heard at once: who is nearest to an underrun is first, in groups of
            :data:`GROUP_ROWS`. Else each is a group of its own, and all get some.
    """

    def __init__(self, models: Models, real_time: bool) -> None:
        self._models, self._real_time = models, real_time
        self._rows = GROUP_ROWS if real_time else 1
        self._members: list[Sequence] = []  # member i has row i % rows of group i // rows
        self._groups: list[TalkerRows] = []
        self._others: list[Sequence] = []  # of a Talker that reads no text

    def __bool__(self) -> bool:
        return bool(self._members or self._others)

    def add(self, sequence: Sequence) -> None:
        """A sequence that has speech to give from now on."""
        if not _speech(sequence).reads_text:
            self._others.append(sequence)
            return
        if len(self._members) == self._rows * len(self._groups):
            self._groups.append(self._models.talker().rows(self._rows))
        self._members.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """One that is over, or never was here; the last row moves into its row."""
        if sequence in self._others:
            self._others.remove(sequence)
        if sequence not in self._members:
            return
        at, last = self._members.index(sequence), len(self._members) - 1
        (group, row), (last_group, last_row) = divmod(at, self._rows), divmod(last, self._rows)
        if at != last:
            self._groups[group].copy(row, self._groups[last_group], last_row)
            self._members[at] = self._members[last]
        self._members.pop()
        self._groups[last_group].clear(last_row)
        if last_row == 0:
            self._groups.pop()

    def step(self, hold: bool) -> list[tuple[Sequence, Made]]:
        """A little more speech; what came of it, by sequence.

        Args:
            hold: a first sound is on its way, and in real time nobody who has enough delays it.
        """
        made: list[tuple[Sequence, Made]] = []
        for group in self._whose_turn(hold):
            made += self._draw(group)
        for sequence in tuple(self._others):
            if _takes(sequence):
                try:
                    made.append((sequence, _speech(sequence).step(_most_frames(sequence))))
                except MuomniError as error:
                    made.append((sequence, error))
        return made

    def _whose_turn(self, hold: bool) -> list[int]:
        """The groups to draw from."""
        groups: dict[int, float] = {}  # when it needs more
        for i, sequence in enumerate(self._members):
            if _takes(sequence):
                due = _speech(sequence).due
                groups[i // self._rows] = min(due, groups.get(i // self._rows, due))
        if not self._real_time or not groups:
            return list(groups)
        first = min(groups, key=groups.__getitem__)
        return [] if hold and groups[first] > time.perf_counter() + ENOUGH_AHEAD_S else [first]

    def _draw(self, group: int) -> list[tuple[Sequence, Made]]:
        """Frames of all members of a group that can have some: they cost little beside those of the first."""
        rows, first = self._groups[group], group * self._rows
        members = self._members[first : first + self._rows]
        turn = [sequence for sequence in members if _takes(sequence)]
        most = {sequence: _most_frames(sequence) for sequence in turn}
        failed: dict[Sequence, MuomniError] = {}
        begun = time.perf_counter()
        for frame in range(FRAMES_ALONE):
            queries: list[Query | None] = [None] * len(members)
            for row, sequence in enumerate(members):
                if frame < most.get(sequence, 0) and sequence not in failed:
                    try:
                        queries[row] = _speech(sequence).query()
                    except MuomniError as error:
                        failed[sequence] = error
            asking = [row for row, query in enumerate(queries) if query is not None]
            if not asking:
                break
            try:
                answers = rows.step(queries)
            except MuomniError as error:
                failed |= dict.fromkeys((members[row] for row in asking), error)
                break
            for row in asking:
                _speech(members[row]).take(*answers[row])
        seconds = time.perf_counter() - begun
        made: list[tuple[Sequence, Made]] = list(failed.items())
        for sequence in turn:
            sequence.timings.add("talker", seconds)
            if sequence not in failed:
                try:
                    made.append((sequence, _speech(sequence).settle()))
                except MuomniError as error:
                    made.append((sequence, error))
        return made


def _speech(sequence: Sequence) -> SpeechStream:
    assert sequence.speech is not None
    return sequence.speech


def _takes(sequence: Sequence) -> bool:
    """Somebody takes what it says, and its text is far enough."""
    return sequence.may_speak and not sequence.done and not _speech(sequence).waits


def _most_frames(sequence: Sequence) -> int:
    writing = _speech(sequence).started and not sequence.text_over
    return FRAMES_WHILE_WRITING if writing else FRAMES_ALONE
