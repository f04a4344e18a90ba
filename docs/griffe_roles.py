"""Docstrings name things as ``:class:`muomni.Request```; the pages show ``Request``."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|meth|func|mod|attr|data):`~?(?:[\w.]+\.)?(\w+)`")


class Roles(griffe.Extension):
    """Rewrites the roles of every docstring as it is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Griffe: an object was made."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(r"`\1`", obj.docstring.value)
