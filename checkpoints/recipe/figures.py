"""``python -m recipe.figures``: the card's table and plot of what was measured, before and now.

Both files are what ``python -m recipe.evaluate --json`` prints.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from .scoring import Result

BEFORE_COLOUR, NOW_COLOUR, TARGET_COLOUR = "#94a3b8", "#c2410c", "#334155"
ROW_INCHES = 0.3


def figure(result: Result) -> str:
    """Value and 95 % interval."""
    value, low, high = map(result.written, (result.value, result.low, result.high))
    return f"{value} ({low.removesuffix(' %')}…{high.removesuffix(' %')})"


def table(before: Sequence[Result], now: Sequence[Result]) -> str:
    """Markdown, a row for each ability that is measured now."""
    old = {r.ability: r for r in before}
    rows = ["| ability | before | now | target |", "|---|---|---|---|"]
    for r in now:
        earlier = figure(old[r.ability]) if r.ability in old else "–"
        sign = "≤" if r.lower_is_better else "≥"
        reached = " **reached**" if r.reached else ""
        rows.append(f"| {r.ability} | {earlier} | {figure(r)}{reached} | {sign} {r.written(r.target)} |")
        rows += [f"| … {name} | – | {r.written(value)} | |" for name, value in r.beside.items()]
    return "\n".join(rows) + "\n"


def plot(before: Sequence[Result], now: Sequence[Result], file: Path) -> None:
    """Shares with their intervals and targets; of word errors, the words that were right."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "figures"  # the same figures, the same file
    import matplotlib.pyplot as plt

    shown = [r for r in now if r.is_share][::-1]
    old = {r.ability: r for r in before}
    drawing, axes = plt.subplots(figsize=(8, 1 + ROW_INCHES * len(shown)))
    for row, current in enumerate(shown):
        pairs = [(current, NOW_COLOUR, 0.12)]
        if current.ability in old:
            pairs.append((old[current.ability], BEFORE_COLOUR, -0.12))
        for r, colour, above in pairs:
            axes.plot([_right(r, r.low), _right(r, r.high)], [row + above] * 2, color=colour, linewidth=2)
            axes.plot([_right(r, r.value)], [row + above], "o", color=colour, markersize=5)
        axes.plot(
            [_right(current, current.target)] * 2,
            [row - 0.35, row + 0.35],
            color=TARGET_COLOUR,
            linewidth=1,
        )
    axes.set_yticks(range(len(shown)), [r.ability for r in shown], fontsize=8)
    axes.set_xlabel("% right (of word errors: 100 % less them), 95 % intervals; grey: before; lines: targets")
    axes.set_xlim(right=101)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    drawing.tight_layout()
    drawing.savefig(file, metadata={"Date": None})
    plt.close(drawing)


def _right(result: Result, value: float) -> float:
    """In percent, of a share or of word errors, what was right."""
    return 100 * (1 - value if result.lower_is_better else value)


def read(file: Path) -> list[Result]:
    """What ``evaluate --json`` printed, but for the mistakes."""
    names = {field.name for field in fields(Result)} - {"mistakes"}
    results = json.loads(file.read_text(encoding="utf-8"))
    return [Result(**{key: value for key, value in r.items() if key in names}) for r in results]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe.figures", description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--now", type=Path, required=True)
    parser.add_argument("--plot", type=Path, help="SVG or PNG to write")
    args = parser.parse_args()
    before, now = read(args.before), read(args.now)
    print(table(before, now), end="")
    if args.plot:
        plot(before, now, args.plot)


if __name__ == "__main__":
    main()
