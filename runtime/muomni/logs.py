"""Messages to the logger ``muomni``, for programs that listen.

The logging module takes a millisecond to load, and a command that answers one question in 200 has nobody who reads
its log: so it is used where something else has loaded it.

    >>> import logging
    >>> logging.basicConfig(level=logging.DEBUG)  # from now on muomni logs
"""

from __future__ import annotations

import sys
from typing import Any

NAME = "muomni"


def debug(message: str, *values: object) -> None:
    """What only a developer wants to know."""
    if (log := _logger()) is not None:
        log.debug(message, *values)


def warning(message: str, *values: object) -> None:
    """What went wrong and was got over."""
    if (log := _logger()) is not None:
        log.warning(message, *values)


def exception(message: str, *values: object) -> None:
    """An error that muomni did not raise itself, with its traceback; call it where the error is caught."""
    if (log := _logger()) is not None:
        log.exception(message, *values)


def _logger() -> Any:
    logging = sys.modules.get("logging")
    if logging is None:
        return None
    log = logging.getLogger(NAME)
    if not log.handlers:
        log.addHandler(logging.NullHandler())  # whoever uses the library decides what is shown
    return log
