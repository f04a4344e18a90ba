"""URLs in the place of files: muomni opens no connection, and says so."""

from __future__ import annotations

import os
import re

_URL = re.compile(
    r"((?:https?|ftp|s3|gs|hf|file|ssh|git):)/{1,2}(?!/)(.*)|data:[a-z]+/.*", re.IGNORECASE | re.DOTALL
)


def url_in(name: object) -> str | None:
    """The URL that stands where the name of a file should; None where it is no URL.

    Example:
        >>> url_in("https://example.org/a.png"), url_in("a.png")
        ('https://example.org/a.png', None)
    """
    text = os.fspath(name) if isinstance(name, os.PathLike) else name
    found = _URL.match(text) if isinstance(text, str) else None
    if found is None:
        return None
    scheme, rest = found.groups()
    # Of "https://", pathlib leaves one slash.
    return f"{scheme}//{rest}"[:80] if scheme else found.group()[:80]
