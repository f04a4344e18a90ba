"""The recipe that trains the model muomni ships: data made as it trains, then training, then evaluation.

Run it from the folder above (``checkpoints/``) with ``python -m recipe.…``; ``checkpoints/README.md``
lists the commands. Nothing here is imported by the runtime or by the exporter.
"""

from pathlib import Path

DEFAULT_STATE = Path("~/.cache/muomni/training").expanduser()
"""Where training keeps what it has, unless told otherwise."""
