"""``python -m recipe.figures``: the card's table and plot of what was measured, before and now.

Both files are what ``python -m recipe.evaluate --json`` prints.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Measured = Mapping[str, Any]
"""A :class:`recipe.scoring.Result` as JSON; of one that somebody else measured, ``target`` may be missing."""

BEFORE_COLOUR, NOW_COLOUR, TARGET_COLOUR = "#94a3b8", "#c2410c", "#334155"
ROW_INCHES = 0.3


def written(value: float, is_share: bool) -> str:
    return f"{100 * value:.1f} %" if is_share else f"{value:.2f}"


def figure(measured: Measured) -> str:
    """Value and 95 % interval."""
    value, low, high = (written(measured[key], measured["is_share"]) for key in ("value", "low", "high"))
    return f"{value} ({low.removesuffix(' %')}…{high.removesuffix(' %')})"


def table(before: Sequence[Measured], now: Sequence[Measured]) -> str:
    """Markdown, a row for each ability that is measured now."""
    old = {m["ability"]: m for m in before}
    rows = ["| ability | before | now | target |", "|---|---|---|---|"]
    for m in now:
        earlier = figure(old[m["ability"]]) if m["ability"] in old else "–"
        sign = "≤" if m["lower_is_better"] else "≥"
        reached = " **reached**" if m["reached"] else ""
        target = f"{sign} {written(m['target'], m['is_share'])}"
        rows.append(f"| {m['ability']} | {earlier} | {figure(m)}{reached} | {target} |")
        rows += [
            f"| … {name} | – | {written(value, m['is_share'])} | |" for name, value in m["beside"].items()
        ]
    return "\n".join(rows) + "\n"


def plot(before: Sequence[Measured], now: Sequence[Measured], file: Path) -> None:
    """Shares with their intervals and targets; of word errors, the words that were right."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "figures"  # the same figures, the same file
    import matplotlib.pyplot as plt

    shown = [m for m in now if m["is_share"]][::-1]
    old = {m["ability"]: m for m in before}
    drawing, axes = plt.subplots(figsize=(8, 1 + ROW_INCHES * len(shown)))
    for row, m in enumerate(shown):
        pairs = [(m, NOW_COLOUR, 0.12)]
        if m["ability"] in old:
            pairs.append((old[m["ability"]], BEFORE_COLOUR, -0.12))
        for measured, colour, above in pairs:
            value, low, high = (_share_right(measured, key) for key in ("value", "low", "high"))
            axes.plot(sorted((low, high)), [row + above] * 2, color=colour, linewidth=2)
            axes.plot([value], [row + above], "o", color=colour, markersize=5)
        axes.plot([_share_right(m, "target")] * 2, [row - 0.35, row + 0.35], color=TARGET_COLOUR, linewidth=1)
    axes.set_yticks(range(len(shown)), [m["ability"] for m in shown], fontsize=8)
    axes.set_xlabel("% right (of word errors: 100 % less them), 95 % intervals; grey: before; lines: targets")
    axes.set_xlim(right=101)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    drawing.tight_layout()
    drawing.savefig(file, metadata={"Date": None})
    plt.close(drawing)


def _share_right(measured: Measured, key: str) -> float:
    value = 100 * float(measured[key])
    return 100 - value if measured["lower_is_better"] else value


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe.figures", description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--now", type=Path, required=True)
    parser.add_argument("--plot", type=Path, help="SVG or PNG to write")
    args = parser.parse_args()
    before, now = (json.loads(path.read_text(encoding="utf-8")) for path in (args.before, args.now))
    print(table(before, now), end="")
    if args.plot:
        plot(before, now, args.plot)


if __name__ == "__main__":
    main()
