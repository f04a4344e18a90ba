"""URLs in the place of files: muomni opens no connection, and says so."""

from __future__ import annotations

import os
import re

# pathlib makes one slash of two.
_URL = re.compile(r"(?:https?|ftp|s3|gs|hf|file|ssh|git)://?(?!/)|data:[a-z]+/", re.IGNORECASE)


def is_url(name: object) -> bool:
    """Whether the name of a file is a URL instead.

    Example:
        >>> is_url("https://example.org/a.png"), is_url("a.png")
        (True, False)
    """
    text = os.fspath(name) if isinstance(name, os.PathLike) else name
    return isinstance(text, str) and _URL.match(text) is not None
