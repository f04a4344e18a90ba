"""The kinds of input that are mutated. Another one is added as an entry of a module's table, and here."""

from __future__ import annotations

from tests.fuzz.batch import BATCH
from tests.fuzz.bundles import BUNDLES
from tests.fuzz.checkpoints import CHECKPOINTS
from tests.fuzz.kind import Kind
from tests.fuzz.media import MEDIA

KINDS: dict[str, Kind] = {**MEDIA, **BATCH, **BUNDLES, **CHECKPOINTS}
