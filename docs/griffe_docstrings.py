"""Docstrings are written for readers of the code; this turns what Markdown has otherwise into what the pages show.

``:class:`muomni.Request``` becomes ``Request``, ``Example:`` the section that griffe knows, and the ``::`` before a
literal block goes.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

REWRITES = (
    (re.compile(r":(?:class|meth|func|mod|attr|data):`~?(?:[\w.]+\.)?(\w+)`"), r"`\1`"),
    (re.compile(r"^(\s*)Example:$", re.MULTILINE), r"\1Examples:"),
    (re.compile(r"^::\n", re.MULTILINE), ""),
)


class Docstrings(griffe.Extension):
    """Rewrites every docstring as it is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Griffe: an object was made."""
        if obj.docstring is not None:
            for pattern, new in REWRITES:
                obj.docstring.value = pattern.sub(new, obj.docstring.value)
