"""Where ``muomni-run`` begins.

A command that answers one question spends most of its time on loading modules, and Python looks for garbage
all the while: without that the whole command takes 0.96 of the time. It looks again when the model is loaded.
"""

from __future__ import annotations

import gc


def run() -> None:
    """The console script."""
    gc.disable()
    from .run import main

    main()
