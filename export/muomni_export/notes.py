"""What an export has to tell: records with a code and values, of which the text is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath


@dataclass(frozen=True)
class Note:
    """One thing to know about an export.

    Example:
        >>> note = Note("stage_moved", "vision", "used {place}", {"place": PurePath("/home/me/vision_tiny")})
        >>> str(note), note.portable()
        ('vision: used /home/me/vision_tiny', 'vision: used vision_tiny')
    """

    code: str
    """The kind of note; programs may rely on it."""
    stage: str
    text: str
    """With the names of ``values`` in braces."""
    values: Mapping[str, object] = field(default_factory=dict)
    """A value that is a path (or a tuple of them) names a place on this machine."""

    def __str__(self) -> str:
        return self._with(str)

    def portable(self) -> str:
        """The text without folders of this machine: a bundle is made to be given away."""
        return self._with(lambda path: path.name)

    def _with(self, shown: Callable[[PurePath], str]) -> str:
        def text(value: object) -> str:
            if isinstance(value, tuple):
                return ", ".join(text(item) for item in value)
            return shown(value) if isinstance(value, PurePath) else str(value)

        return f"{self.stage}: " + self.text.format_map({name: text(v) for name, v in self.values.items()})


def without_repeats(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Each text once, in order."""
    return tuple({str(note): note for note in notes}.values())
