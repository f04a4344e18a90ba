"""Conversations by voice with a server, at the pace at which people speak."""

from __future__ import annotations

import base64
import json
import threading
import time
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from websockets.sync.client import ClientConnection, connect

from muomni.live.rate import RateStream
from muomni.serve.sound import PCM_RATE_HZ, pcm16

QUESTION = Path(__file__).parents[1] / "checkpoints" / "demo" / "samples" / "days.wav"
PIECE_BYTES = PCM_RATE_HZ // 10 * 2
BYTES_A_SECOND = 2 * PCM_RATE_HZ
PAUSE_S = 1.0
"""After a question, by which the server hears that it is over."""


def talk(url: str, turns: int) -> float:
    """Ask aloud so many times and hear the answers; the seconds of the talk.

    While an answer is heard the microphone goes on, as a browser's does.
    """
    samples, rate = soundfile.read(QUESTION, dtype="float32")
    resampled = RateStream(rate, PCM_RATE_HZ)
    asked: NDArray[np.float32] = np.concatenate([resampled.push(samples), resampled.finish()])
    question = pcm16(asked) + bytes(int(PAUSE_S * BYTES_A_SECOND))
    start = time.perf_counter()
    with connect(f"{url.replace('http', 'ws')}/v1/realtime?model=muomni", max_size=None) as socket:
        socket.recv(20)
        for _ in range(turns):
            send(socket, question)
            heard = answer(socket)
            send(socket, bytes(heard - heard % 2))
    return time.perf_counter() - start


def talks(url: str, count: int, turns: int) -> float:
    """Conversations at once, which begin one after the other; their seconds together."""
    found: list[float] = []
    threads = [threading.Thread(target=lambda: found.append(talk(url, turns))) for _ in range(count)]
    for thread in threads:
        thread.start()
        time.sleep(5 / count)
    for thread in threads:
        thread.join()
    if len(found) < count:
        raise RuntimeError(f"{count - len(found)} conversations failed")
    return sum(found)


def send(socket: ClientConnection, sound: bytes) -> None:
    """Sound to the server, a tenth of a second at a time, each when it is spoken."""
    due = time.perf_counter()
    for at in range(0, len(sound), PIECE_BYTES):
        piece = base64.b64encode(sound[at : at + PIECE_BYTES]).decode()
        socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": piece}))
        due += PIECE_BYTES / BYTES_A_SECOND
        time.sleep(max(0.0, due - time.perf_counter()))


def answer(socket: ClientConnection) -> int:
    """Bytes of speech until the answer is over."""
    heard = 0
    while (event := json.loads(socket.recv(60)))["type"] != "response.done":
        if event["type"] == "error":
            raise RuntimeError(event["error"]["message"])
        if event["type"] == "response.output_audio.delta":
            heard += len(base64.b64decode(event["delta"]))
    return heard
