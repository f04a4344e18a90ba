"""Plots of what ``compare.py``, ``scaling.py`` and ``profile_step.py`` wrote: ``python benchmarks/plots.py``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, ScalarFormatter

from models import PRECISIONS
from results import OURS
from tables import sorted_rows

RESULTS = Path(__file__).parent / "results"
DOTS_PER_INCH = 100
OUR_COLOUR, PEER_COLOUR = "#c2410c", "#94a3b8"
COLOURS = {"fp32": "#334155", "int8": "#c2410c"}
STYLES = {1: "-", 2: "--"}
SMALLEST_SLICE = 0.02


def bare(axes: Axes) -> None:
    """No box around what is drawn."""
    axes.spines[["top", "right"]].set_visible(False)


def plot_compare(result: Mapping[str, Any], file: Path) -> None:
    """Bars of tokens a second, a panel for each precision."""
    rows = sorted_rows(result["rows"])
    groups = [
        (precision, [row for row in rows if row["precision"] == precision][::-1]) for precision in PRECISIONS
    ]
    groups = [group for group in groups if group[1]]
    figure, panels = plt.subplots(
        len(groups), 1, figsize=(8, 0.9 + 0.32 * len(rows)), squeeze=False,
        height_ratios=[len(group) for _, group in groups], sharex=True,
    )  # fmt: skip
    for axes, (precision, group) in zip(panels[:, 0], groups, strict=True):
        rates = [row["tokens_per_s"] for row in group]
        colours = [OUR_COLOUR if row["name"].startswith(OURS) else PEER_COLOUR for row in group]
        bars = axes.barh([row["name"] for row in group], rates, color=colours)
        axes.bar_label(bars, [f"{rate:.0f}" for rate in rates], padding=3, fontsize=8)
        axes.set_ylabel(precision)
        axes.tick_params(axis="y", labelsize=8)
        bare(axes)
    threads = result["threads"]
    panels[-1, 0].set_xlabel(f"tokens a second, greedy, {threads} thread{'s' if threads > 1 else ''}")
    save(figure, file)


def plot_scaling(result: Mapping[str, Any], file: Path) -> None:
    """A step by context, tokens by batch, a step by size of model."""
    figure, panels = plt.subplots(1, 3, figsize=(12, 3.6))
    axes = result["axes"]
    sizes = result["parameters"]
    _lines(panels[0], axes.get("context", []), lambda row: row["context"], "step_ms")
    _lines(panels[1], axes.get("batch", []), lambda row: row["batch"], "tokens_per_s")
    _lines(panels[2], axes.get("size", []), lambda row: sizes[row["size"]] / 1e6, "step_ms")
    labels = (
        ("positions in the cache", "ms a step, one row"),
        ("rows that decode together", "tokens a second in all"),
        ("million parameters", "ms a step, one row"),
    )
    for panel, (x, y) in zip(panels, labels, strict=True):
        panel.set_xlabel(x)
        panel.set_ylabel(y)
        bare(panel)
    for panel in panels[:2]:
        panel.set_ylim(bottom=0)
    panels[1].set_xscale("log", base=2)
    panels[1].set_xticks(sorted({row["batch"] for row in axes.get("batch", [])}))
    panels[1].xaxis.set_major_formatter(ScalarFormatter())
    panels[2].loglog()
    panels[2].set_xticks([count / 1e6 for count in sizes.values()])
    panels[2].xaxis.set_major_formatter("{x:.0f}")
    panels[2].xaxis.set_minor_formatter(NullFormatter())
    panels[2].yaxis.set_major_formatter("{x:g}")
    panels[1].legend(fontsize=8, frameon=False)
    save(figure, file)


def _lines(
    panel: Axes, rows: list[Mapping[str, Any]], x: Callable[[Mapping[str, Any]], float], y: str
) -> None:
    """A line for each precision and number of threads."""
    for precision, threads in sorted({(row["precision"], row["threads"]) for row in rows}):
        line = [row for row in rows if (row["precision"], row["threads"]) == (precision, threads)]
        panel.plot(
            [x(row) for row in line],
            [row[y] for row in line],
            STYLES.get(threads, ":"),
            marker="o",
            markersize=3,
            color=COLOURS[precision],
            label=f"{precision}, {threads} thread{'s' if threads > 1 else ''}",
        )


def plot_profile(result: Mapping[str, Any], file: Path) -> None:
    """A bar of each precision, cut by operator; the head, the largest product, has a slice of its own."""
    profiles = result["profiles"]
    cuts = [slices(of) for of in profiles]
    names = [*dict.fromkeys(name for cut in cuts for name in cut if name != "others"), "others"]
    figure, axes = plt.subplots(figsize=(9, 0.6 * len(profiles) + 1.6))
    labels = [f"{of['precision']}: {of['step_us']:.0f} us" for of in profiles]
    left = [0.0] * len(profiles)
    colours = plt.get_cmap("tab20c")
    for index, name in enumerate(names):
        widths = [100 * cut.get(name, 0.0) for cut in cuts]
        bars = axes.barh(labels, widths, left=left, label=name, color=colours(2 * index % 20))
        axes.bar_label(bars, [f"{w:.0f}" if w >= 3 else "" for w in widths], label_type="center", fontsize=8)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("% of the nodes' time in a decode step")
    axes.legend(fontsize=8, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.45, -0.35))
    bare(axes)
    save(figure, file)


def plot_voices(result: Mapping[str, Any], file: Path) -> None:
    """First sound after the end of speech, by the number of conversations."""
    rows = [row for row in result["rows"] if row["first_sound_ms"] is not None]
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    for key, colour, label in (
        ("p50", COLOURS["int8"], "median"),
        ("p95", COLOURS["fp32"], "95th percentile"),
    ):
        line = [row for row in rows if row["first_sound_ms"][key] is not None]
        counts = [row["conversations"] for row in line]
        axes.plot(
            counts,
            [row["first_sound_ms"][key] for row in line],
            marker="o",
            markersize=4,
            color=colour,
            label=label,
        )
    axes.set_xticks([row["conversations"] for row in rows])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("voice conversations at the same time")
    axes.set_ylabel("ms to the first sound")
    axes.legend(fontsize=8, frameon=False)
    bare(axes)
    save(figure, file)


def slices(profile: Mapping[str, Any]) -> dict[str, float]:
    """Shares by what a reader looks for: the head, the other products, then operators; small ones added up."""
    head = max(profile["nodes"], key=lambda node: node["weight_bytes"])
    found = {"head": head["share"], "other products": 0.0}
    for node in profile["nodes"]:
        if node is head:
            continue
        name = "other products" if node["weight_bytes"] else node["operator"]
        found[name] = found.get(name, 0.0) + node["share"]
    large = {name: share for name, share in found.items() if share >= SMALLEST_SLICE}
    return large | {"others": sum(found.values()) - sum(large.values())}


def save(figure: Any, file: Path) -> None:
    """A small PNG, or an SVG that is the same each time."""
    figure.tight_layout()
    plt.rcParams["svg.hashsalt"] = "muomni"
    metadata = {"Date": None} if file.suffix == ".svg" else {"Software": None}
    figure.savefig(file, dpi=DOTS_PER_INCH, bbox_inches="tight", metadata=metadata)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    folder: Path = parser.parse_args().results
    kinds = {"compare": plot_compare, "scaling": plot_scaling, "profile": plot_profile}
    for file in sorted(folder.glob("*.json")):
        plot = kinds.get(file.stem.partition("-")[0])
        if plot is not None:
            plot(json.loads(file.read_text()), file.with_suffix(".png"))
            print(file.with_suffix(".png"))


if __name__ == "__main__":
    main()
