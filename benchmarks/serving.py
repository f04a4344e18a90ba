"""The load generator: what a running ``muomni-serve`` gives to people who talk to it, and to clients who read.

    python benchmarks/serving.py voices 1 8 16 32 48 64
    python benchmarks/serving.py turn | text | cancel | start | memory
    python benchmarks/serving.py plot

It starts the server in a process of its own, unless ``--url`` names one; each command prints a table and writes
``results/serving-<command>.json``. The clients share the machine with the server, and say what they take of it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from load.chat import Asking, throughput
from load.machine import others_busy, usage
from load.measures import cancellations, first_tokens, starts
from load.peers import OURS, PEERS, peer_serving
from load.server import Running, ServerError, serving
from load.sound import RECORDINGS, said
from load.voices import converse
from models import Work
from muomni.bench.machine import describe_machine
from muomni.bench.statistics import in_turns, median_ratio, summarise
from muomni.ort.threads import available_cores
from tables import cancel_table, memory_table, start_table, text_table, turn_table, voices_table

RESULTS = Path(__file__).parent / "results"
IMAGE = Path(__file__).parents[1] / "docs" / "images" / "serving-voices.svg"
CONVERSATIONS = [1, 8, 16, 32, 48, 64]
CONNECTIONS = [1, 8, 32, 128]
MEMORY_CONVERSATIONS = 32
SHORT_ANSWER_TOKENS, ANSWER_TOKENS = 16, 128
PACKAGES = ("muomni", "onnxruntime", "uvicorn", "websockets", "uvloop")
PEER_PACKAGES = ("llama-cpp-python", "openvino", "openvino-genai", "onnxruntime-genai")


@contextmanager
def measured(options: argparse.Namespace) -> Iterator[Running]:
    """The server: one that was named, or a fresh one."""
    if options.url is not None:
        yield Running(options.url, options.pid)
        return
    with serving(options.model, *options.serve, profile=options.profile) as running:
        yield running


def voices(options: argparse.Namespace) -> dict[str, Any]:
    """Conversations at the same time, one count of them after the other."""
    sounds = [said(recording, options.frame_ms) for recording in options.recording]
    rows = []
    with measured(options) as server:
        for count in options.conversations or CONVERSATIONS:
            rows.append(asyncio.run(converse(server, sounds, count, options.seconds, options.begin_within)))
            print(voices_table({"rows": rows[-1:]}).splitlines()[-1], file=sys.stderr, flush=True)
    return {"frame_ms": options.frame_ms, "rows": rows}


def turn(options: argparse.Namespace) -> dict[str, Any]:
    """One person alone: a voice turn, and a text chat."""
    sounds = [said(recording, options.frame_ms) for recording in options.recording]
    with measured(options) as server:
        voice = asyncio.run(converse(server, sounds[:1], 1, options.seconds, 0.1))
        chat = asyncio.run(first_tokens(Asking(server.url, "muomni", SHORT_ANSWER_TOKENS), options.rounds))
    return {"voice": voice, "chat": chat}


def text(options: argparse.Namespace) -> dict[str, Any]:
    """Tokens a second over several connections, muomni and its peers in turns."""
    work, cores = Work(options.work), available_cores()
    rates: dict[tuple[str, int], list[dict[str, Any]]] = {}
    skipped: dict[str, str] = {}
    with ExitStack() as until_end:
        servers: dict[str, Running] = {}
        for name in options.only:
            try:
                servers[name] = until_end.enter_context(peer_serving(name, work, cores))
                print(f"ready: {name}", file=sys.stderr, flush=True)
            except ServerError as error:
                skipped[name] = str(error)
                print(f"skipped: {name}: {error}", file=sys.stderr, flush=True)
        for connections in options.connections:
            fit = [name for name in servers if name == OURS or connections <= PEERS[name].most_connections]
            for index, names in in_turns(fit, options.rounds):
                for name in names:
                    server = servers[name]
                    model = "muomni" if name == OURS else "tiny"
                    asking = Asking(server.url, model, ANSWER_TOKENS)
                    found = asyncio.run(throughput(asking, connections, options.seconds, server.pid))
                    if index >= 0:
                        rates.setdefault((name, connections), []).append(found)
                print(f"{connections} connections: round {index + 1}", file=sys.stderr, flush=True)
        memory = {name: round(usage(s.pid).peak_mb, 1) for name, s in servers.items() if s.pid is not None}
    return {
        "tokens_of_an_answer": ANSWER_TOKENS,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "rows": [text_row(name, count, rates, memory) for name, count in rates],
        "skipped": skipped,
    }


def text_row(
    name: str,
    connections: int,
    rates: dict[tuple[str, int], list[dict[str, Any]]],
    memory: dict[str, float],
) -> dict[str, Any]:
    """One server at one number of connections; ratios pair the rounds."""

    def of(other: str) -> list[float]:
        return [found["tokens_per_s"] for found in rates[other, connections]]

    peers = [other for other, count in rates if count == connections and other != OURS]
    fastest = max(peers, key=lambda other: summarise(of(other)).median, default=None)
    last = rates[name, connections][-1]
    ratio = None
    if fastest is not None and all(of(fastest)):
        ratio = round(median_ratio(of(name), of(fastest)), 3)
    return {
        "name": name,
        "connections": connections,
        "tokens_per_s": round(summarise(of(name)).median, 1),
        "tokens_per_s_rounds": of(name),
        "fastest_peer": fastest,
        "times_the_fastest_peer": ratio,
        "first_token_ms": last["first_token_ms"],
        "server_cores": last["server_cores"],
        "client_cores": last["client_cores"],
        "peak_mb": memory.get(name),
        "failures": sorted({failure for found in rates[name, connections] for failure in found["failures"]}),
    }


def cancel(options: argparse.Namespace) -> dict[str, Any]:
    """From stopping to an idle slot."""
    with measured(options) as server:
        return asyncio.run(cancellations(server, options.rounds))


def start(options: argparse.Namespace) -> dict[str, Any]:
    """From the start of the process to its being ready."""
    return starts(options.model, options.rounds)


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """What the server holds before, and with conversations."""
    sounds = [said(recording, options.frame_ms) for recording in options.recording]
    with measured(options) as server:
        if server.pid is None:
            sys.exit("memory: give the server's --pid with --url")
        before = usage(server.pid).rss_mb
        row = asyncio.run(
            converse(server, sounds, MEMORY_CONVERSATIONS, options.seconds, options.begin_within)
        )
    return {"before_mb": round(before, 1), "row": row}


def plot(options: argparse.Namespace) -> None:
    """The picture of what ``voices`` found."""
    from plots import plot_voices

    plot_voices(json.loads((RESULTS / "serving-voices.json").read_text()), IMAGE)
    print(IMAGE)


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--out", type=Path, help="default: results/serving-<command>.json beside this file")
    common.add_argument("--model", type=Path, help="bundle that is served; default: the demo")
    common.add_argument("--serve", nargs="*", default=[], help="more options of muomni-serve")
    common.add_argument("--url", help="a server that runs already, as http://127.0.0.1:8000")
    common.add_argument("--pid", type=int, help="its process, whose memory and time are read")
    common.add_argument("--profile", type=Path, metavar="FILE", help="py-spy's stacks of the server")
    speaking = argparse.ArgumentParser(add_help=False)
    speaking.add_argument("--seconds", type=float, default=30, help="of conversation, once all have begun")
    speaking.add_argument("--begin-within", type=float, default=6, help="seconds in which all begin")
    speaking.add_argument("--frame-ms", type=int, default=20, help="of the microphone; the page sends 20")
    speaking.add_argument("--recording", type=Path, nargs="+", default=[RECORDINGS / "question.wav"])
    whole = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = whole.add_subparsers(required=True, dest="command")

    def command(name: str, act: Any, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, parents=[common, *parents], help=act.__doc__, description=act.__doc__
        )
        made.set_defaults(act=act)
        return made

    command("voices", voices, speaking).add_argument("conversations", type=int, nargs="*")
    command("turn", turn, speaking).add_argument("--rounds", type=int, default=40, help="chats")
    made = command("text", text)
    made.add_argument("--work", type=Path, required=True, help="folder for the models; kept and reused")
    made.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS)
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=float, default=3)
    made.add_argument("--only", nargs="+", default=[OURS, *PEERS], choices=[OURS, *PEERS])
    command("cancel", cancel).add_argument("--rounds", type=int, default=20)
    command("start", start).add_argument("--rounds", type=int, default=5)
    command("memory", memory, speaking)
    command("plot", plot)
    return whole


TABLES = {
    "voices": voices_table,
    "turn": turn_table,
    "text": text_table,
    "cancel": cancel_table,
    "start": start_table,
    "memory": memory_table,
}


def versions() -> dict[str, str]:
    """Of what is measured, where it is installed."""
    found = {}
    for package in (*PACKAGES, *PEER_PACKAGES):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main(arguments: list[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    if options.command == "plot":
        plot(options)
        return
    gc.freeze()
    head = {"machine": describe_machine(), "versions": versions(), "busy_cores_before": others_busy()}
    result = {**head, **options.act(options)}
    out: Path = options.out or RESULTS / f"serving-{options.command}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(TABLES[options.command](result))


if __name__ == "__main__":
    main()
