"""What every mode of ``muomni-run`` has: the model and the streams."""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import Console
from .speech_file import SpeechFile

if TYPE_CHECKING:
    from muomni import Omni


@dataclass(frozen=True)
class Session:
    """The options that all modes share; ``model`` None is the demo."""

    console: Console
    model: Path | None
    device: str
    threads: int | None
    as_json: bool

    def load(self, one_request: bool = False) -> Omni:
        """Open the bundle; for the last moment, after everything that can be refused without it."""
        from muomni import Omni

        more: dict[str, Any] = {"prefix_cache_bytes": 0} if one_request else {}
        omni = Omni.load(self.model, device=self.device, threads=self.threads, **more)
        gc.enable()  # see entry.py
        return omni

    def speaking_to(self, target: SpeechFile) -> Session:
        """The same, with text out of the way of speech that goes to stdout."""
        return replace(self, console=replace(self.console, sound_on_stdout=target.on_stdout))
