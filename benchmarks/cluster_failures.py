"""What is lost when parts of a cluster are killed, hang, or are replaced: two Ray nodes on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cluster_load import Load
from cluster_nodes import ENVIRONMENT, STORE_BYTES, Nodes, alive

QUIET_S = 3.0
"""Load before and after."""
TWO = {"slots": 4, "min_replicas": 2, "max_replicas": 2}
LINES = 3000


def killed_replica() -> dict[str, Any]:
    """``kill -9`` of one of two replicas under load."""
    with Nodes() as nodes:
        nodes.deploy(**TWO)
        with Load(nodes.url()) as load:
            time.sleep(QUIET_S)
            before = set(nodes.replicas())
            os.kill(min(before), signal.SIGKILL)
            back = nodes.wait(lambda: len(set(nodes.replicas()) - before) == 1 and len(nodes.replicas()) == 2)
            time.sleep(QUIET_S)
        return {"seconds_until_two_run_again": round(back, 1), **load.summary}


def hanging_replica() -> dict[str, Any]:
    """One of two replicas is stopped (SIGSTOP): it holds its connections and does nothing."""
    with Nodes() as nodes:
        nodes.deploy(**TWO)
        with Load(nodes.url()) as load:
            time.sleep(QUIET_S)
            before = nodes.replicas()
            os.kill(before[0], signal.SIGSTOP)
            gone = nodes.wait(lambda: not alive(before[:1]), 120)
            time.sleep(QUIET_S)
        return {"seconds_until_it_was_killed": round(gone, 1), **load.summary}


def upgrade() -> dict[str, Any]:
    """Other arguments for the application, under load."""
    with Nodes() as nodes:
        nodes.deploy(**TWO)
        before = nodes.replicas()
        with Load(nodes.url()) as load:
            time.sleep(QUIET_S)
            start = time.monotonic()
            nodes.deploy(**{**TWO, "slots": 5})
            nodes.wait(lambda: not alive(before))
            seconds = time.monotonic() - start
            time.sleep(QUIET_S)
        return {"seconds_until_the_old_are_gone": round(seconds, 1), **load.summary}


def growing_load() -> dict[str, Any]:
    """More clients than one replica has slots for: the autoscaler starts a second one."""
    with Nodes() as nodes:
        nodes.deploy(slots=2, max_replicas=2)
        with Load(nodes.url(), once=6, streams=2) as load:
            seconds = nodes.wait(lambda: len(nodes.replicas()) == 2, 120)
            time.sleep(QUIET_S)
        return {"seconds_until_there_are_two": round(seconds, 1), **load.summary}


def killed_head(storage: bool) -> dict[str, Any]:
    """All processes of the head are killed under load and started again; clients use the proxy of the other node."""
    with Nodes((0, 2), storage) as nodes:
        nodes.deploy("EveryNode", slots=4, max_replicas=1)
        nodes.wait(lambda: nodes.answers(1))
        with Load(nodes.url(1)) as load:
            time.sleep(QUIET_S)
            nodes.head.kill()
            load.reset()
            time.sleep(15)
            away = load.reset()
            nodes.restart_head()
            time.sleep(45)
            back = load.reset()
            time.sleep(15)
        status = nodes.python(
            "from ray import serve\nprint({n: a.status.value for n, a in serve.status().applications.items()})",
            check=False,
        )
        return {
            "while_the_head_is_away": away,
            "in_the_45_s_after_its_return": back,
            "later": load.summary,
            "applications_then": status.stdout.strip()[-200:] or status.stderr.strip()[-200:],
            "the_other_node_lives": bool(nodes.nodes[1].processes("ray::ServeReplica:")),
        }


class Batch:
    """A batch by the command, in a folder of its own."""

    def __init__(self, folder: Path, lines: int = LINES) -> None:
        self.out, self._questions, self.lines = folder / "replies", folder / "q.jsonl", lines
        asked = ({"id": number, "text": f"What is {number % 10} plus two?"} for number in range(lines))
        self._questions.write_text("".join(json.dumps(each) + "\n" for each in asked))

    def start(self, nodes: Nodes, actors: int) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "muomni.cli.run",
            "--batch",
            str(self._questions),
            "--out",
            str(self.out),
        ]
        command += ["--ray", nodes.address, "--actors", str(actors), "--threads", "1", "--slots", "8"]
        environment = {**os.environ, **ENVIRONMENT}
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)

    def written(self) -> int:
        return len(list(self.out.glob("*.jsonl")))

    def summary(self) -> dict[str, int]:
        """What lies in the folder."""
        ids = [
            json.loads(line)["id"]
            for file in self.out.glob("*.jsonl")
            for line in file.read_text().splitlines()
        ]
        return {
            "lines": self.lines,
            "missing": self.lines - len(set(ids)),
            "repeated": len(ids) - len(set(ids)),
        }


def killed_node() -> dict[str, Any]:
    """A node with half of the actors is killed in the middle of a batch."""
    with Nodes((2, 2)) as nodes, tempfile.TemporaryDirectory() as folder:
        batch = Batch(Path(folder))
        command = batch.start(nodes, 4)
        nodes.wait(lambda: batch.written() >= 2 and nodes.nodes[1].processes("ray::MapWorker"))
        nodes.nodes[1].kill()
        command.wait(300)
        return {"exit_code": command.returncode, **batch.summary()}


def killed_driver() -> dict[str, Any]:
    """The command itself is killed in the middle of a batch, and given again."""
    with Nodes((2, 2)) as nodes, tempfile.TemporaryDirectory() as folder:
        batch = Batch(Path(folder))
        command = batch.start(nodes, 4)
        nodes.wait(lambda: batch.written() >= 2)
        command.kill()
        command.wait()
        time.sleep(2)
        before = batch.summary()
        again = batch.start(nodes, 4)
        again.wait(300)
        return {"missing_then": before["missing"], "exit_code": again.returncode, **batch.summary()}


def full_object_store() -> dict[str, Any]:
    """Another program holds more objects than the store of the nodes has room for, during a batch and requests."""
    with Nodes((2, 2)) as nodes, tempfile.TemporaryDirectory() as folder:
        nodes.deploy(slots=4, max_replicas=1)
        code = f"""
import ray, numpy, time
ray.init({nodes.address!r}, log_to_driver=False, logging_level="error")
kept = [ray.put(numpy.ones({STORE_BYTES // 10}, numpy.uint8)) for _ in range(15)]
print("full", flush=True)
time.sleep(600)
"""
        environment = {**os.environ, **ENVIRONMENT}
        hog = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        assert hog.stdout is not None and hog.stdout.readline() == b"full\n"
        try:
            batch = Batch(Path(folder))
            with Load(nodes.url()) as load:
                command = batch.start(nodes, 2)
                command.wait(300)
            return {"exit_code": command.returncode, **batch.summary(), **load.summary}
        finally:
            hog.kill()
            hog.wait()
            hog.stdout.close()


TRIALS: dict[str, Any] = {
    "a replica is killed": killed_replica,
    "a replica hangs": hanging_replica,
    "the application is upgraded": upgrade,
    "the load grows": growing_load,
    "the head is killed, without storage": lambda: killed_head(False),
    "the head is killed, with storage": lambda: killed_head(True),
    "a node is killed during a batch": killed_node,
    "the command is killed during a batch": killed_driver,
    "the object store is full": full_object_store,
}


if __name__ == "__main__":
    for name in sys.argv[1:] or TRIALS:
        print(name, json.dumps(TRIALS[name](), indent=1), flush=True)
