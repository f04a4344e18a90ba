"""``--play``: speech through the loudspeaker as it is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from muomni import Omni
    from muomni.engine.playback import OnAudio
    from muomni.live.devices import Loudspeaker


class Playing(TypedDict, total=False):
    """What a reply is asked for with, so that it is heard."""

    on_audio: OnAudio


@contextmanager
def player_of(omni: Omni, play: bool) -> Iterator[Playing]:
    """Arguments for ``generate``, ``say`` or ``speak``; what is left is played to its end.

    Raises:
        MissingPackageError, UsageError: there is no loudspeaker.
    """
    if not play:
        yield {}
        return
    with loudspeaker_of(omni) as loudspeaker:
        yield {"on_audio": loudspeaker.play}


@contextmanager
def loudspeaker_of(omni: Omni) -> Iterator[Loudspeaker]:
    """A loudspeaker for what a bundle says; what is left is played to its end.

    Raises:
        MissingPackageError, UsageError: there is none.
        StageError: the bundle cannot speak.
    """
    from muomni.live.devices import Loudspeaker

    loudspeaker = Loudspeaker(omni.vocoder.stage.sample_rate_hz)
    try:
        yield loudspeaker
        loudspeaker.wait()
    finally:
        loudspeaker.close()
