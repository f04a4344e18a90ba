"""muomni on Ray: what it costs, what it adds, what is lost when it fails.

    python benchmarks/cluster.py                          # all, about 20 minutes
    python benchmarks/cluster.py --only failures --trials "a replica hangs"

Everything runs on this machine, on two Ray nodes where nodes fail. The JSON in ``results/cluster.json`` keeps what an
earlier call found and this one did not look for.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from cluster_failures import TRIALS
from cluster_figures import MEASURES
from muomni.bench.machine import describe_machine
from tables import markdown

OUT = Path(__file__).parent / "results" / "cluster.json"
CONVERSATIONS = (100, 10_000)
BUSY = 0.5
"""Of a core that conversations may take: with more, those that are answered at once wait for each other."""
CORES_A_NODE = 16
LEFT_A_NODE = 2.0
"""Cores of a node that no replica gets: for its proxy and the rest of Ray."""
CORE_HOUR = 0.04
"""Dollars, about what a core costs by the hour where machines are rented, with the memory that comes with it."""


def simulate(found: dict[str, Any], conversations: int) -> dict[str, Any]:
    """What so many conversations at once would take, on paper: nothing but the measured figures, multiplied."""
    cores, memory = found["conversations"]["cores_of_one"], found["cost"]["memory_mb"]
    a_replica = math.floor(BUSY / cores["replica"])
    replicas = math.ceil(conversations / a_replica)
    nodes = math.ceil(replicas / (CORES_A_NODE - LEFT_A_NODE))
    a_proxy = math.floor(BUSY / cores["proxy"])
    by_proxies = math.ceil(conversations / a_proxy)
    nodes = max(nodes, by_proxies)
    total_mb = replicas * memory["replica"]["pss"] + nodes * (
        memory["whole_node_pss"] - memory["replica"]["pss"]
    )
    return {
        "conversations": conversations,
        "a_replica": a_replica,
        "replicas": replicas,
        "a_proxy": a_proxy,
        "nodes": nodes,
        "cores": nodes * CORES_A_NODE,
        "memory_gb": round(total_mb / 1024, 1),
        "dollars_an_hour": round(nodes * CORES_A_NODE * CORE_HOUR, 2),
        "breaks_first": "a proxy"
        if by_proxies >= math.ceil(replicas / (CORES_A_NODE - LEFT_A_NODE))
        else "cores",
    }


def paper(found: dict[str, Any]) -> str:
    """The simulation as a table."""
    rows = [simulate(found, count) for count in CONVERSATIONS]
    head = [
        "at once",
        "replicas",
        f"nodes of {CORES_A_NODE} cores",
        "memory, GB",
        "$ an hour",
        "what decides",
    ]
    keys = ("replicas", "nodes", "memory_gb", "dollars_an_hour", "breaks_first")
    return markdown(head, [[f"{row['conversations']:,}", *(str(row[key]) for key in keys)] for row in rows])


def losses(trials: dict[str, Any]) -> str:
    """The trials under load as a table: requests answered, and those that failed with their errors."""
    rows = []
    for name, trial in trials.items():
        for kind in ("once", "retrying", "streams"):
            if kind in trial:
                tally = trial[kind]
                errors = ", ".join(f"{count} × {error}" for error, count in tally["errors"].items())
                rows.append([name, kind, str(tally["answered"]), errors or "none", f"{tally['longest_s']} s"])
    return markdown(["trial", "clients", "answered", "failed", "longest"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[*MEASURES, "failures"], default=[*MEASURES, "failures"])
    parser.add_argument("--trials", nargs="*", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    found["machine"] = describe_machine()

    def keep() -> None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found, indent=1) + "\n")

    for name in options.only:
        if name != "failures":
            found[name] = MEASURES[name]()
            print(name, json.dumps(found[name], indent=1), file=sys.stderr, flush=True)
            keep()
            continue
        for trial in options.trials:
            found.setdefault("failures", {})[trial] = TRIALS[trial]()
            print(trial, json.dumps(found["failures"][trial], indent=1), file=sys.stderr, flush=True)
            keep()
    if {"conversations", "cost"} <= found.keys():
        found["on_paper"] = [simulate(found, count) for count in CONVERSATIONS]
        keep()
        print(paper(found), end="\n\n")
    print(losses(found.get("failures", {})))


if __name__ == "__main__":
    main()
