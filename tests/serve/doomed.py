"""A client that is killed in the middle: run with a port and what it does; it says when it is there."""

from __future__ import annotations

import base64
import http.client
import json
import sys
import time
import wave
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

SAMPLES = Path(__file__).parents[2] / "checkpoints" / "demo" / "samples"
QUESTION = "What are the months?"
FORMAT = {"type": "audio/pcm", "rate": 16_000}


def frames() -> Iterator[str]:
    """A question of 16 kHz in base64, 40 ms at a time, and silence without end."""
    with wave.open(str(SAMPLES / "question.wav")) as file:
        while data := file.readframes(640):
            yield base64.b64encode(data).decode()
    while True:
        yield base64.b64encode(bytes(1280)).decode()


def reply_of_http(port: int) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = {
        "messages": [{"role": "user", "content": QUESTION}],
        "stream": True,
        "modalities": ["text", "audio"],
    }
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    response = connection.getresponse()
    while b'"data"' not in response.readline():
        pass
    return response


def session(port: int, path: str, first: dict[str, Any]) -> ClientConnection:
    opened = connect(f"ws://127.0.0.1:{port}{path}")
    opened.send(json.dumps(first))
    return opened


def wait_for(opened: ClientConnection, kind: str) -> None:
    while json.loads(opened.recv(30))["type"] != kind:
        pass


def main(port: int, what: str) -> None:
    kind, doing = what.split("-")
    if kind == "http":
        held: Any = reply_of_http(port)
    elif kind == "realtime":
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": QUESTION}]}
        held = session(port, "/v1/realtime", {"type": "conversation.item.create", "item": item})
        if doing == "replies":
            held.send(json.dumps({"type": "response.create"}))
            wait_for(held, "response.output_audio.delta")
    else:
        start = {"type": "session.start", "session": {"model": "muomni", "audio": {"format": FORMAT}}}
        held = session(port, "/v1/live/sessions", start)
    name = "session.input_audio.append" if kind == "live" else "input_audio_buffer.append"
    if what == "live-replies":
        for frame in islice(frames(), 80):  # the question, and a second of silence
            held.send(json.dumps({"type": name, "audio": frame}))
        wait_for(held, "session.output_audio.delta")
    for number, frame in enumerate(frames()):
        if number == (10 if doing == "speaks" else 0):
            print("there", flush=True)
        if doing == "speaks":
            held.send(json.dumps({"type": name, "audio": frame}))
        time.sleep(0.01)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
