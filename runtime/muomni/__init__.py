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
    from .engine.batch import BatchRequest
    from .engine.conversation import Conversation
    from .engine.prompt import Request
    from .engine.speaking import SpeechOptions
    from .errors import (
        BundleError,
        CheckpointError,
        ContextError,
        DeviceError,
        GraphError,
        InputError,
        ManifestError,
        MediaError,
        MissingPackageError,
        MuomniError,
        OutputError,
        ParityError,
        StageError,
    )
    from .media.wav import write_wav
    from .models.sampling import SamplingOptions
    from .omni import Omni
    from .replies import Reply, Speech

__version__ = "0.1.0"

_HOMES = {
    "BatchRequest": "engine.batch",
    "Manifest": "bundle.manifest",
    "Conversation": "engine.conversation",
    "Omni": "omni",
    "Reply": "replies",
    "Request": "engine.prompt",
    "Speech": "replies",
    "SamplingOptions": "models.sampling",
    "SpeechOptions": "engine.speaking",
    "write_wav": "media.wav",
}

__all__ = [
    "BatchRequest",
    "BundleError",
    "CheckpointError",
    "ContextError",
    "Conversation",
    "DeviceError",
    "GraphError",
    "InputError",
    "Manifest",
    "ManifestError",
    "MediaError",
    "MissingPackageError",
    "MuomniError",
    "Omni",
    "OutputError",
    "ParityError",
    "Reply",
    "Request",
    "SamplingOptions",
    "Speech",
    "SpeechOptions",
    "StageError",
    "__version__",
    "write_wav",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'muomni' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
