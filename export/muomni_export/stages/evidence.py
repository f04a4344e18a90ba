"""What tensors and config say about a stage; where they disagree, the tensors are right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from muomni.errors import CheckpointError
from muomni_export.notes import Note

from .weights import StageWeights

Shape = tuple[int, ...]


class Evidence:
    """A stage's tensors and config; what is not as it should be is refused or noted in ``notes``.

    ``spelled`` is for the parts of a stage that share one config: what a key is called there.
    """

    def __init__(
        self, stage: str, weights: StageWeights, notes: list[Note], spelled: Mapping[str, str] | None = None
    ) -> None:
        self.stage, self.weights, self.notes = stage, weights, notes
        self._spelled = spelled or {}
        config = weights.config
        own = {key: config[name] for key, name in self._spelled.items() if name in config}
        self.config: Mapping[str, Any] = own | {k: v for k, v in config.items() if k not in self._spelled}

    @property
    def config_name(self) -> str:
        source = self.weights.config_source
        return str(source) if source is not None else f"the config of the {self.stage} (none was found)"

    def has(self, name: str) -> bool:
        return name in self.weights.state

    def shape(self, name: str, dimensions: int) -> Shape:
        """Shape of a tensor that must be there, with so many axes and none of them empty."""
        tensor = self.weights.state.get(name)
        stored = self.weights.stored(name)
        if tensor is None:
            there = sorted(self.weights.stored(key) for key in self.weights.state)
            shown = ", ".join(there[:6]) + (", …" if len(there) > 6 else "") if there else "nothing"
            raise CheckpointError(
                f"{self.weights.source}: {self.stage}: {stored} is missing; expected a tensor with "
                f"{dimensions} axes, found {shown}"
            )
        if tensor.dim() != dimensions or 0 in tensor.shape:
            raise self.refuse(name, f"{dimensions} axes, none empty", f"shape {tuple(tensor.shape)}")
        return tuple(tensor.shape)

    def count(self, prefix: str) -> int:
        """How many numbered parts ``<prefix>0.``, ``<prefix>1.``, … there are, without a gap.

        Raises:
            CheckpointError: none, or one of them is missing.
        """
        pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
        seen = {int(match[1]) for name in self.weights.state if (match := pattern.match(name))}
        missing = next((i for i in range(len(seen) + 1) if i not in seen), 0)
        if not seen or missing != len(seen):
            found = f"{prefix}{max(seen)}" if seen else "none"
            raise CheckpointError(
                f"{self.weights.source}: {self.stage}: {self.weights.prefix}{prefix}{missing} is missing; "
                f"expected parts numbered from 0, the last found is {found}"
            )
        return len(seen)

    def positive(self, key: str) -> int | None:
        """A whole number above zero from the config; None where the config does not say."""
        value = self.config.get(key)
        if value is None:
            return None
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or value < 1:
            raise self.wrong_value(key, "a positive whole number", value)
        return int(value)

    def number(self, key: str) -> float | None:
        """A number above zero from the config; None where the config does not say."""
        value = self.config.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise self.wrong_value(key, "a positive number", value)
        return float(value)

    def text(self, key: str) -> str | None:
        """A text from the config; None where the config does not say."""
        value = self.config.get(key)
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise self.wrong_value(key, "a text", value)
        return value

    def positives(self, key: str) -> tuple[int, ...] | None:
        """A list of whole numbers above zero from the config; None where the config does not say."""
        value = self.config.get(key)
        return None if value is None else self.as_positives(key, value)

    def as_positives(self, key: str, value: Any) -> tuple[int, ...]:
        good = isinstance(value, list) and all(isinstance(i, int) and i is not True and i > 0 for i in value)
        if not good:
            raise self.wrong_value(key, "a list of positive whole numbers", value)
        return tuple(value)

    def compare(self, key: str, actual: object) -> None:
        """Note where the config says something else than the tensors."""
        said = self.config.get(key)
        if said is not None and said != actual:
            text = "{key} is {said} in the config, {used} in the tensors; used {used}"
            self.note("config_differs", text, key=self.name_in_config(key), said=said, used=actual)

    def heads(self, width: int, default: int, default_width: int) -> int:
        """Attention heads from ``n_heads``; the reference's number where the width is the reference's too.

        Raises:
            CheckpointError: heads that do not divide the width, or a width whose heads cannot be known.
        """
        name, heads = self.name_in_config("n_heads"), self.positive("n_heads")
        if heads is None:
            if width != default_width:
                raise CheckpointError(
                    f"{self.config_name}: {name} is missing, and the tensors of the {self.stage} (width "
                    f"{width}) do not tell it; add {name} to it (in the config of a whole model, to its section "
                    f'"{self.stage}"), or name the right one with --config FILE'
                )
            self.note_default("n_heads", default)
            heads = default
        if width % heads:
            raise CheckpointError(
                f"{self.config_name}: {name}: expected a divisor of the width {width} of the {self.stage} "
                f"(from {self.weights.source}), got {heads}"
            )
        return heads

    def name_in_config(self, key: str) -> str:
        """What the config calls it."""
        return self._spelled.get(key, key)

    def note(self, code: str, text: str, **values: object) -> None:
        self.notes.append(Note(code, self.stage, text, values))

    def note_default(self, key: str, used: object, whose: str = "the reference's") -> None:
        """Note that the config does not say a value that tensors do not tell."""
        text = "{key} is not in the config; used {whose} {used}"
        self.note("default_used", text, key=self.name_in_config(key), whose=whose, used=used)

    def refuse(self, name: str, expected: str, got: str) -> CheckpointError:
        """The error for a tensor that does not fit."""
        stored = self.weights.stored(name)
        return CheckpointError(f"{self.weights.source}: {stored}: expected {expected}, got {got}")

    def wrong_value(self, key: str, expected: str, got: object) -> CheckpointError:
        """The error for a config value that does not fit."""
        return CheckpointError(
            f"{self.config_name}: {self.name_in_config(key)} of the {self.stage}: expected {expected}, got {got!r}"
        )
