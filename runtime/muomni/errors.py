"""What can go wrong, as one tree.

::

    MuomniError
    ├── InputError              a file or value the caller gave (also a ValueError)
    │   ├── MediaError          an image, audio or video that cannot be read
    │   └── ContextError        the prompt does not fit the context
    ├── BundleError             the bundle folder: missing, changed or foreign files
    │   ├── ManifestError       manifest.json: unknown keys, versions, wrong types
    │   └── GraphError          a graph whose inputs or outputs break the contract
    ├── CheckpointError         a PyTorch checkpoint that cannot be exported
    ├── ParityError             an exported graph differs from its torch module
    ├── MissingPackageError     a missing package or extra (says the install line)
    │   └── DeviceError         the device asked for is not there
    ├── OutputError             the result could not be written
    ├── StageError              the bundle lacks the stage the request needs
    ├── ExecutionError          ONNX Runtime failed while it computed
    │   └── OutOfMemoryError    the keys and values of a request need more memory than there is; others go on
    └── UsageError              a conversation used twice at once, a closed Omni (also a RuntimeError)

Every message says what was wrong, what was expected, what was found and, where there is one, the command
that fixes it. The command line prints the message and exits with 1; a traceback is for ``--debug``.
"""

from __future__ import annotations


class MuomniError(Exception):
    """Base of every error muomni raises on purpose."""


class InputError(MuomniError, ValueError):
    """A file or value given by the caller is unusable."""


class MediaError(InputError):
    """An image, audio or video cannot be read, or holds nothing usable."""


class ContextError(InputError):
    """The prompt and the wished reply do not fit the model's context."""


class BundleError(MuomniError):
    """The bundle folder is missing, incomplete, changed or not a bundle."""


class ManifestError(BundleError):
    """``manifest.json`` has unknown keys, an unknown version or values of the wrong type."""


class GraphError(BundleError):
    """A graph's inputs or outputs are not those the contract names."""


class CheckpointError(MuomniError):
    """A PyTorch checkpoint is missing, unreadable or does not fit its architecture."""


class ParityError(MuomniError):
    """An exported graph computes something else than its torch module."""


class MissingPackageError(MuomniError):
    """A package or extra is missing; the message holds the install line."""


class DeviceError(MissingPackageError):
    """The device asked for cannot be used on this machine."""


class OutputError(MuomniError):
    """A result could not be written; nothing half-written is left behind."""


class StageError(MuomniError):
    """The bundle has no such stage (for example no vision in a text-only bundle)."""


class ExecutionError(MuomniError):
    """ONNX Runtime failed while it computed a graph (out of memory, for example)."""


class OutOfMemoryError(ExecutionError):
    """There is no memory for what a request needs; the message says how much that is, and what to lower."""


class UsageError(MuomniError, RuntimeError):
    """An object is used in a way it does not allow: a conversation by two threads at once, or after close."""
