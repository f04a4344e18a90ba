"""The recipe is run from ``checkpoints/`` (``python -m recipe…``) and is in no installed package."""

import sys
from pathlib import Path

CHECKPOINTS = str(Path(__file__).parents[2] / "checkpoints")
if CHECKPOINTS not in sys.path:
    sys.path.insert(0, CHECKPOINTS)
