"""muomni on Ray: what it costs, what it adds, what is lost when it fails.

    python benchmarks/cluster.py                          # all, about 20 minutes
    python benchmarks/cluster.py --only failures --trials "a replica hangs"

Everything runs on this machine, on two Ray nodes where nodes fail. The JSON in ``results/cluster.json`` keeps what an
earlier call found and this one did not look for.
"""

from __future__ import annotations

import argparse
import importlib.metadata
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
LEFT_A_NODE = 2
"""Cores of a node that no replica gets: for its proxy, which is one process, and the rest of Ray."""
MOST_CORES = 64
"""Of a node."""
CORE_HOUR = 0.04
"""Dollars, about what a core costs by the hour where machines are rented, with the memory that comes with it."""


def simulate(found: dict[str, Any], conversations: int) -> dict[str, Any]:
    """What so many conversations at once would take, on paper: nothing but the measured figures, multiplied."""
    cores, memory = found["conversations"]["cores_of_one"], found["cost"]["memory_mb"]
    a_replica, a_proxy = math.floor(BUSY / cores["replica"]), math.floor(BUSY / cores["proxy"])
    replicas_a_node = min(math.ceil(a_proxy / a_replica), MOST_CORES - LEFT_A_NODE)
    a_node = min(a_proxy, replicas_a_node * a_replica)
    replicas, nodes = math.ceil(conversations / a_replica), math.ceil(conversations / a_node)
    own_mb = memory["replica"]["pss"]
    total_mb = replicas * own_mb + nodes * (memory["whole_node_pss"] - own_mb)
    all_cores = nodes * (replicas_a_node + LEFT_A_NODE)
    return {
        "conversations": conversations,
        "a_replica": a_replica,
        "a_proxy": a_proxy,
        "replicas": replicas,
        "nodes": nodes,
        "cores_a_node": replicas_a_node + LEFT_A_NODE,
        "cores": all_cores,
        "memory_gb": round(total_mb / 1024, 1),
        "dollars_an_hour": round(all_cores * CORE_HOUR, 2),
        "decides": "the proxy" if a_node == a_proxy else "the cores of a node",
    }


def paper(found: dict[str, Any]) -> str:
    """The simulation as a table."""
    rows = [simulate(found, count) for count in CONVERSATIONS]
    head = ["at once", "replicas", "nodes", "cores of a node", "cores", "memory, GB", "$ an hour", "decides"]
    keys = ("replicas", "nodes", "cores_a_node", "cores", "memory_gb", "dollars_an_hour", "decides")
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
    found["machine"] = {**describe_machine(), "ray": importlib.metadata.version("ray")}

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
