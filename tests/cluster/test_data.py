"""Data sets on Ray: the replies of one machine, id for id; nothing lost and nothing twice, whatever is killed."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import muomni
from muomni.cli.run import main

from .conftest import SAMPLES, workers

QUESTIONS: list[dict[str, Any]] = [
    {"id": "sum", "text": "What is two plus three?"},
    {"id": 7, "text": "How many shapes are there?", "images": ["shapes.png"]},
    {"text": "Hello!", "temperature": 0.8, "seed": 5, "max_new_tokens": 9},
    {"id": "heard", "audio": "days.wav"},
    {"id": "missing", "text": "What is it?", "images": ["none.png"]},
    {"id": "odd", "texts": "?"},
]


@pytest.fixture(autouse=True)
def quiet(cluster: int) -> None:
    """No bars and no reports of Ray's on the terminal."""
    from muomni.cluster.joining import join

    assert join(None, progress=False) == 2


def write(path: Path, questions: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(question) + "\n" for question in questions), encoding="utf-8")
    return path


def lines_of(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the samples, in which the command is called with relative names."""
    for sample in SAMPLES.iterdir():
        (tmp_path / sample.name).write_bytes(sample.read_bytes())
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def test_a_file_is_answered_as_on_one_machine_and_goes_on_where_it_ended(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = write(desk / "all.jsonl", QUESTIONS)
    assert run("--batch", alone.name, "--out", "alone.jsonl") == 1  # two of them are errors
    first = write(desk / "first.jsonl", QUESTIONS[:2])
    assert run("--batch", first.name, "--out", "replies/", "--ray") == 0
    capsys.readouterr()
    assert run("--batch", alone.name, "--out", "replies", "--ray", "--actors", 2) == 1
    said = capsys.readouterr().err
    assert "2 of 6 requests have their reply" in said and "2 answered, 2 failed" in said

    many = lines_of(*(desk / "replies").iterdir())
    assert len(many) == len(QUESTIONS)
    by_id = {json.dumps(reply["id"]): reply for reply in many}
    for reply in lines_of(desk / "alone.jsonl"):
        other = by_id[json.dumps(reply["id"])]
        assert other.keys() == reply.keys()
        if reply["id"] == "missing":  # the message has the path, and no file has a hash
            assert other["error"].endswith("none.png: no such file")
            continue
        for key in ("request", "text", "token_ids", "finish_reason", "seed", "error"):
            assert other.get(key) == reply.get(key), (reply["id"], key)

    assert run("--batch", alone.name, "--out", "replies", "--ray") == 0  # nothing is left
    assert "0 answered" in capsys.readouterr().err
    assert len(lines_of(*(desk / "replies").iterdir())) == len(QUESTIONS)
    write(alone, [{**QUESTIONS[0], "text": "Hello!"}])
    assert run("--batch", alone.name, "--out", "replies", "--ray") == 1
    assert 'its reply to the id "sum" was made for another question' in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions = write(desk / "q.jsonl", QUESTIONS[:1])
    (desk / "photos").mkdir()
    (desk / "photos" / "a.png").write_bytes(b"mine")
    assert run("--batch", questions, "--out", desk / "photos", "--ray") == 1
    assert "expected a folder of replies of an earlier run" in capsys.readouterr().err
    assert [file.name for file in (desk / "photos").iterdir()] == ["a.png"]
    assert run("--batch", questions, "--out", questions, "--ray") == 2
    assert run("--batch", questions, "--out", "-", "--ray") == 2
    assert run("--batch", questions, "--out", "o", "--parquet") == 2
    assert "only with --ray" in capsys.readouterr().err


def test_parquet_has_the_columns_of_a_reply_and_speech_goes_to_files(desk: Path, omni: muomni.Omni) -> None:
    import pyarrow.parquet as pq

    questions = write(desk / "q.jsonl", [*QUESTIONS[:1], *QUESTIONS[4:]])
    assert run("--batch", questions, "--out", "o", "--ray", "--parquet", "--audio-out", "speech") == 1
    rows = {row["id"]: row for row in pq.read_table(desk / "o").to_pylist()}
    assert set(rows) == {'"sum"', '"missing"', '"odd"'}
    reply = omni.generate(QUESTIONS[0]["text"], speech=True)
    assert rows['"sum"']["token_ids"] == list(reply.token_ids) and rows['"odd"']["text"] is None
    assert reply.speech is not None
    samples, rate = soundfile.read(rows['"sum"']["speech_path"], dtype="float32")
    assert rate == reply.speech.sample_rate
    assert np.abs(samples - reply.speech.samples).max() < 1e-4
    assert Path(rows['"sum"']["speech_path"]) == desk / "speech" / "sum.wav"


def test_a_data_set_is_answered_with_media_as_bytes_and_speech_as_bytes(omni: muomni.Omni) -> None:
    import ray

    from muomni.cluster import answer

    picture = (SAMPLES / "shapes.png").read_bytes()
    rows = [
        {"id": 1, "text": "What is two plus three?", "images": None},
        {"id": 2, "text": "How many shapes are there?", "images": [picture]},
        {"id": 3, "text": "What do you see?", "images": [b"no picture"]},
    ]
    data = ray.data.from_items(rows)
    with pytest.raises(muomni.InputError, match="'id'"):
        answer(data, keep=())
    with pytest.raises(muomni.InputError, match="rename yours"):
        answer(data, keep=("id", "text"))
    with pytest.raises(muomni.InputError, match="unknown option 'colour'"):
        answer(data, colour="red")  # type: ignore[call-arg]
    with pytest.raises(muomni.BundleError):
        answer(data, "no/such/bundle")
    found = {row["id"]: row for row in answer(data, speech=True, slots=2).take_all()}
    requests = [
        muomni.Request(rows[0]["text"]),
        muomni.Request(rows[1]["text"], images=[picture]),
    ]
    for number, reply in enumerate(omni.generate_batch(requests), start=1):
        assert isinstance(reply, muomni.Reply)
        assert found[number]["token_ids"] == list(reply.token_ids) and found[number]["error"] is None
        samples, _ = soundfile.read(io.BytesIO(found[number]["speech"]))
        assert len(samples) > 1000
    assert found[3]["text"] is None and "image" in found[3]["error"]


def test_an_actor_that_is_killed_loses_nothing_and_repeats_nothing(desk: Path) -> None:
    """As a node's out of memory is: the work that it had is done again by another."""
    from muomni.cluster.data import Pool
    from muomni.cluster.lines import answer_lines
    from muomni.jsonl.requests import read_requests

    questions = [{"id": number, "text": f"What is {number % 10} plus two?"} for number in range(400)]
    data = write(desk / "q.jsonl", questions).read_bytes()
    lines = read_requests(data, "q", desk, {})
    killed: list[int] = []

    def kill() -> None:
        while not killed:
            if list((desk / "o").glob("*.jsonl")):
                for number in workers("ray::MapWorker(MapBatches(LineAnswers))")[:1]:  # at work
                    os.kill(number, signal.SIGKILL)
                    killed.append(number)
            time.sleep(0.01)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    outcome = answer_lines(lines, desk / "o", Pool(slots=4, batch_size=8), defaults={}, folder=desk)
    thread.join(1)
    assert killed and (outcome.answered, outcome.failed) == (400, 0)
    ids = [reply["id"] for reply in lines_of(*(desk / "o").iterdir())]
    assert sorted(ids) == list(range(400))
