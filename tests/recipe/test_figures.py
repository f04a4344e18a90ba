"""The card's table."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from recipe import figures
from recipe.scoring import Result


def measured(name: str, value: float, target: float, **more: Any) -> dict[str, Any]:
    result = Result(name, value, value - 0.02, value + 0.02, target, 100, more.pop("lower", False), **more)
    return {**asdict(result), "reached": result.reached}


BEFORE = [measured("single words", 0.53, 0.9), measured("word errors", 0.24, 0.06, lower=True)]
NOW = [
    measured("single words", 0.95, 0.9),
    measured("word errors", 0.07, 0.06, lower=True, beside={"the teacher's": 0.01}),
    measured("DNSMOS", 3.25, 3.2, is_share=False),
]


def test_table_has_both_figures_the_target_and_what_is_reached() -> None:
    assert figures.table(BEFORE, NOW).splitlines()[2:] == [
        "| single words | 53.0 % (51.0…55.0) | 95.0 % (93.0…97.0) **reached** | ≥ 90.0 % |",
        "| word errors | 24.0 % (22.0…26.0) | 7.0 % (5.0…9.0) | ≤ 6.0 % |",
        "| … the teacher's | – | 1.0 % | |",
        "| DNSMOS | – | 3.25 (3.23…3.27) **reached** | ≥ 3.20 |",
    ]
