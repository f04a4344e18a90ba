"""The card's table."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recipe import figures
from recipe.scoring import Result


def measured(name: str, value: float, target: float, lower: bool = False, **more: Any) -> Result:
    return Result(name, value, value - 0.02, value + 0.02, target, 100, lower, **more)


BEFORE = [measured("single words", 0.53, 0.9), measured("word errors", 0.24, 0.06, lower=True)]
NOW = [
    measured("single words", 0.95, 0.9),
    measured("word errors", 0.07, 0.06, lower=True, beside={"the teacher's": 0.01}),
    measured("DNSMOS", 3.25, 3.2, is_share=False),
]


def test_what_evaluate_printed_is_read(tmp_path: Path) -> None:
    file = tmp_path / "now.json"
    file.write_text(json.dumps([{**asdict(r), "reached": r.reached} for r in NOW]))
    assert figures.read(file) == NOW


def test_table_has_both_figures_the_target_and_what_is_reached() -> None:
    assert figures.table(BEFORE, NOW).splitlines()[2:] == [
        "| single words | 53.0 % (51.0…55.0) | 95.0 % (93.0…97.0) **reached** | ≥ 90.0 % |",
        "| word errors | 24.0 % (22.0…26.0) | 7.0 % (5.0…9.0) | ≤ 6.0 % |",
        "| … the teacher's | – | 1.0 % | |",
        "| DNSMOS | – | 3.25 (3.23…3.27) **reached** | ≥ 3.20 |",
    ]
