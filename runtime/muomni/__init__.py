"""muomni: run exported μOmni models with numpy and ONNX Runtime.

    >>> import muomni
    >>> omni = muomni.Omni.load("bundle")
    >>> omni.generate("What do you see?", images=["cat.png"]).text

Names are loaded when they are first used, so that ``import muomni`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bundle.manifest import Manifest
    from .engine.conversation import Conversation
    from .engine.stream import Stream
    from .errors import (
        BundleError,
        CheckpointError,
        ContextError,
        DeviceError,
        ExecutionError,
        GraphError,
        InputError,
        ManifestError,
        MediaError,
        MissingPackageError,
        MuomniError,
        OutOfMemoryError,
        OutputError,
        ParityError,
        StageError,
        UsageError,
    )
    from .events import Event, Failed, Finished, SpeechDelta, TextDelta
    from .media.wav import write_wav
    from .models.grammar import Grammar
    from .models.sampling import SamplingOptions
    from .omni import Omni
    from .replies import Reply, Speech, TokenLogprob, Usage
    from .requests import Request, SpeechOptions

__version__ = "0.1.0"

_HOMES = {
    "Manifest": "bundle.manifest",
    "Conversation": "engine.conversation",
    "Stream": "engine.stream",
    "Event": "events",
    "Failed": "events",
    "Finished": "events",
    "SpeechDelta": "events",
    "TextDelta": "events",
    "write_wav": "media.wav",
    "Grammar": "models.grammar",
    "SamplingOptions": "models.sampling",
    "Omni": "omni",
    "Reply": "replies",
    "Speech": "replies",
    "TokenLogprob": "replies",
    "Usage": "replies",
    "Request": "requests",
    "SpeechOptions": "requests",
}

__all__ = [
    "BundleError",
    "CheckpointError",
    "ContextError",
    "Conversation",
    "DeviceError",
    "Event",
    "ExecutionError",
    "Failed",
    "Finished",
    "Grammar",
    "GraphError",
    "InputError",
    "Manifest",
    "ManifestError",
    "MediaError",
    "MissingPackageError",
    "MuomniError",
    "Omni",
    "OutOfMemoryError",
    "OutputError",
    "ParityError",
    "Reply",
    "Request",
    "SamplingOptions",
    "Speech",
    "SpeechDelta",
    "SpeechOptions",
    "StageError",
    "Stream",
    "TextDelta",
    "TokenLogprob",
    "Usage",
    "UsageError",
    "__version__",
    "write_wav",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'muomni' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
