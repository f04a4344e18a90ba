"""What Ray adds to a request, how a batch grows with actors, what a replica costs: pairs on the same cores."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx

from cluster_load import CHAT
from cluster_nodes import BIN, ENVIRONMENT, Nodes, memory_mb
from cluster_talk import QUESTION, talks
from muomni.bench.statistics import median_ratio, summarise

SPOKEN = {**CHAT, "stream": True, "modalities": ["text", "audio"], "audio": {"voice": "a", "format": "pcm16"}}
WRITTEN = {**CHAT, "stream": True}


class Served:
    """``muomni-serve`` in a process of its own, with the threads and slots of a replica."""

    def __init__(self, slots: int) -> None:
        start = time.perf_counter()
        command = [str(BIN / "muomni-serve"), "--port", "0", "--threads", "1", "--slots", str(slots)]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        self.url = ""
        while not self.url:
            line = self._process.stderr.readline()
            assert line, "muomni-serve ended"
            found = re.search(r"ready at (http://\S+:\d+)", line)
            self.url = found[1] if found else ""
        self.seconds_to_ready = time.perf_counter() - start

    @property
    def number(self) -> int:
        return self._process.pid

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        assert self._process.stderr is not None
        self._process.stderr.close()


def first(client: httpx.Client, url: str, body: dict[str, Any], key: str) -> float:
    """Milliseconds from a request to the first piece of its reply; the reply is read to its end."""
    start = time.perf_counter()
    found = 0.0
    with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            if found or not line.startswith("data: {"):
                continue
            delta = json.loads(line[6:])["choices"][0]["delta"] if '"choices":[{' in line else {}
            piece = (delta.get("audio") or {}).get("data") if key == "audio" else delta.get(key)
            if piece:
                found = 1000 * (time.perf_counter() - start)
    assert found, "nothing came"
    return found


def percentiles(values: list[float]) -> dict[str, float | None]:
    """The median and the 99th percentile."""
    summary = summarise(values)
    return {"p50": round(summary.median, 2), "p99": summary.p99 and round(summary.p99, 2)}


def latency(rounds: int) -> dict[str, Any]:
    """Of one client, to ``muomni-serve`` and through Ray's proxy in turns, every second round the other way about."""
    found: dict[str, Any] = {"rounds": rounds}
    served = Served(4)
    try:
        with Nodes((2,)) as nodes, httpx.Client(timeout=60) as client:
            nodes.deploy(slots=4, max_replicas=1)
            places = {"muomni-serve": served.url, "ray": nodes.url()}
            for what, body, key in (("first_token", WRITTEN, "content"), ("first_sound", SPOKEN, "audio")):
                times: dict[str, list[float]] = {name: [] for name in places}
                for number in range(-5, rounds):
                    order = list(places) if number % 2 else list(places)[::-1]
                    for name in order:
                        value = first(client, places[name], body, key)
                        if number >= 0:
                            times[name].append(value)
                added = [b - a for a, b in zip(times["muomni-serve"], times["ray"], strict=True)]
                found[f"{what}_ms"] = {
                    **{name: percentiles(values) for name, values in times.items()},
                    "added": percentiles(added),
                }
    finally:
        served.close()
    return found


def cost() -> dict[str, Any]:
    """Memory of a replica and of what stands around it, and the seconds until it answers."""
    served = Served(16)
    try:
        with Nodes((2,)) as nodes:
            first_ready = nodes.deploy(slots=16, max_replicas=1)
            for url in (served.url, nodes.url()):
                for body in (WRITTEN, SPOKEN):
                    httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)
            names = {
                "replica": "ray::ServeReplica:",
                "proxy": "ray::ProxyActor",
                "controller": "ray::ServeController",
            }
            own = {
                name: {key: round(value) for key, value in memory_mb(nodes.head.processes(title)[0]).items()}
                for name, title in names.items()
            }
            everything = sum(memory_mb(number)["pss"] for number in nodes.head.processes())
            served_mb = {key: round(value) for key, value in memory_mb(served.number).items()}
            again = []
            for _ in range(3):
                (replica,) = nodes.replicas()
                os.kill(replica, signal.SIGKILL)
                start = time.perf_counter()
                nodes.wait(lambda old=replica: nodes.answers() and old not in nodes.replicas())
                again.append(time.perf_counter() - start)
        return {
            "memory_mb": {**own, "whole_node_pss": round(everything), "muomni-serve": served_mb},
            "seconds_to_ready": {
                "muomni-serve": round(served.seconds_to_ready, 1),
                "first_deployment": round(first_ready, 1),
                "replacement": round(summarise(again).median, 1),
            },
        }
    finally:
        served.close()


def batch(question: dict[str, Any], lines: int, rounds: int) -> dict[str, Any]:
    """Requests a second: one machine's command, and a cluster with one and with two actors on the same cores.

    The rate is that of what a run of three times the lines has more than a run of the lines: what it takes to start and
    to end is in neither.
    """
    with Nodes((2,)) as nodes, tempfile.TemporaryDirectory() as folder:

        def seconds(name: str, count: int) -> float:
            place = Path(tempfile.mkdtemp(dir=folder))
            asked = ({"id": number, **question} for number in range(count))
            (place / "q.jsonl").write_text("".join(json.dumps(each) + "\n" for each in asked))
            command = [sys.executable, "-m", "muomni.cli.run", "-q", "--batch", str(place / "q.jsonl")]
            command += ["--out", str(place / "out"), "--threads", "1"]
            if name != "one machine":
                command += ["--ray", nodes.address, "--actors", name.split()[0]]
            start = time.perf_counter()
            subprocess.run(command, env={**os.environ, **ENVIRONMENT}, check=True, stderr=subprocess.DEVNULL)
            return time.perf_counter() - start

        names = ["one machine", "1 actor", "2 actors"]
        rates: dict[str, list[float]] = {name: [] for name in names}
        starts: dict[str, list[float]] = {name: [] for name in names}
        for number in range(rounds):
            for name in names if number % 2 else names[::-1]:
                short, long = seconds(name, lines), seconds(name, 3 * lines)
                rates[name].append(2 * lines / (long - short))
                starts[name].append(short - (long - short) / 2)
        return {
            "lines": [lines, 3 * lines],
            "rounds": rounds,
            "seconds_besides": {name: round(summarise(values).median, 1) for name, values in starts.items()},
            "lines_a_second": {name: round(summarise(values).median, 1) for name, values in rates.items()},
            "two_actors_against_one": round(median_ratio(rates["2 actors"], rates["1 actor"]), 2),
            "one_actor_against_one_machine": round(median_ratio(rates["1 actor"], rates["one machine"]), 2),
        }


def conversations(count: int, turns: int) -> dict[str, Any]:
    """Cores that a conversation by voice takes as long as it lasts, of each process that has to do with it.

    Processor time while some are held at the pace of speech, by their seconds together.
    """
    served = Served(16)
    try:
        with Nodes((2,)) as nodes:
            nodes.deploy(slots=16, max_replicas=1)
            head = nodes.head.processes
            watched = {
                "muomni-serve": (served.url, [served.number]),
                "replica": (nodes.url(), nodes.replicas()),
                "proxy": (nodes.url(), head("ray::ProxyActor")),
                "rest of Ray": (nodes.url(), []),
            }
            for url in (served.url, nodes.url()):
                talks(url, 1, 1)
            cores = {}
            for url in (served.url, nodes.url()):
                mine = {name: numbers for name, (place, numbers) in watched.items() if place == url}
                if "rest of Ray" in mine:
                    mine["rest of Ray"] = sorted(
                        set(head()) - {one for known in mine.values() for one in known}
                    )
                before = {name: sum(map(cpu_s, numbers)) for name, numbers in mine.items()}
                seconds = talks(url, count, turns)
                for name, numbers in mine.items():
                    cores[name] = round((sum(map(cpu_s, numbers)) - before[name]) / seconds, 4)
    finally:
        served.close()
    return {"at_once": count, "cores_of_one": cores}


def cpu_s(number: int) -> float:
    """Processor time of a process so far; 0 where it has ended."""
    try:
        fields = (Path("/proc") / str(number) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


MEASURES: dict[str, Callable[[], dict[str, Any]]] = {
    "latency": lambda: latency(200),
    "cost": cost,
    "batch_of_questions": lambda: batch({"text": "What is two plus three?"}, 4000, 3),
    "batch_of_recordings": lambda: batch({"audio": str(QUESTION)}, 400, 3),
    "conversations": lambda: conversations(10, 5),
}


if __name__ == "__main__":
    for name in sys.argv[1:] or MEASURES:
        print(name, json.dumps(MEASURES[name](), indent=1), flush=True)
