"""The built pages are tested where the builder is installed (the extra ``docs``), which CI sees to."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("mkdocs") else ["test_site.py"]
