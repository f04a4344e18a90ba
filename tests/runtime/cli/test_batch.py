"""Replies are never lost, repeated or mistaken, and no file of the user's is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.runtime.cli.conftest import Run
from tests.runtime.cli.fake import FakeOmni

from muomni.cli.replies_file import RepliesFile
from muomni.errors import OutputError
from muomni.jsonl.requests import read_requests

QUESTIONS = [
    {"id": "a", "text": "one \u2028 é"},
    {"text": "two"},
    {"id": [3], "text": "bad"},
    {"text": "four"},
]
ANSWERED = {'"a"': "re: one \u2028 é", "2": "re: two", "4": "re: four"}


def write(path: Path, requests: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
    return path


def objects(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    assert not data or data.endswith(b"\n")
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def answers(path: Path) -> dict[str, str]:
    """Key -> text, of lines that are answers; each at most once."""
    found = [(json.dumps(value["id"]), value["text"]) for value in objects(path) if "text" in value]
    assert len(dict(found)) == len(found)
    return dict(found)


Batch = Callable[..., tuple[int, str]]


@pytest.fixture
def batch(run: Run, omni: FakeOmni, tmp_path: Path) -> Batch:
    """Run ``q.jsonl`` into ``o.jsonl``; the exit code and stderr."""

    def call(*more: str | Path) -> tuple[int, str]:
        code, out, err = run("--batch", tmp_path / "q.jsonl", "--out", tmp_path / "o.jsonl", *more)
        assert out == ""
        return code, err

    return call


def test_every_request_gets_its_reply(batch: Batch, tmp_path: Path, omni: FakeOmni) -> None:
    write(tmp_path / "q.jsonl", QUESTIONS)
    code, err = batch("--slots", "3", "--max-new-tokens", "9")
    assert code == 1 and "3 answered, 1 failed" in err
    assert answers(tmp_path / "o.jsonl") == ANSWERED
    assert [value["error"] for value in objects(tmp_path / "o.jsonl") if "error" in value] == ["it is bad"]
    assert omni.slots == 3 and {request.max_new_tokens for request in omni.asked} == {9}


def test_a_second_run_asks_what_has_no_answer_again(batch: Batch, tmp_path: Path, omni: FakeOmni) -> None:
    write(tmp_path / "q.jsonl", [*QUESTIONS, {"id": "no", "colour": 1}])
    batch()
    before = objects(tmp_path / "o.jsonl")
    omni.asked.clear()
    code, err = batch()
    assert code == 1 and "3 of 5 requests have their reply" in err
    assert [request.text for request in omni.asked] == ["bad"]
    # The errors of before are replaced, not repeated.
    assert sorted(map(json.dumps, objects(tmp_path / "o.jsonl"))) == sorted(map(json.dumps, before))


def test_nothing_to_do_changes_nothing(batch: Batch, tmp_path: Path, omni: FakeOmni) -> None:
    write(tmp_path / "q.jsonl", QUESTIONS[:2])
    batch()
    before = (tmp_path / "o.jsonl").read_bytes()
    assert batch()[0] == 0
    assert (tmp_path / "o.jsonl").read_bytes() == before and len(omni.asked) == 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with requests and a whole file of replies to them."""
    folder = tmp_path_factory.mktemp("whole")
    write(folder / "q.jsonl", QUESTIONS)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        import muomni
        from muomni.cli.run import main

        patch.setitem(vars(muomni), "Omni", FakeOmni())
        main(["-q", "--batch", str(folder / "q.jsonl"), "--out", str(folder / "o.jsonl")])
    return folder


def test_a_cut_at_any_byte_loses_and_repeats_nothing(tmp_path: Path) -> None:
    source = "".join(json.dumps(question) + "\n" for question in QUESTIONS)
    lines, out = read_requests(source.encode(), "q", Path(), {}), tmp_path / "o.jsonl"

    def answer() -> int:
        with RepliesFile(out, lines, "model") as replies:
            todo = replies.unanswered(lines, "model")
            for line in todo:
                text = ANSWERED.get(line.key)
                replies.append(line, "model", {"text": text} if text else {"error": "it is bad"})
        assert answers(out) == ANSWERED
        assert len(objects(out)) == len(QUESTIONS)
        return len(todo)

    answer()
    full = out.read_bytes()
    for cut in range(len(full) + 1):
        out.write_bytes(full[:cut])
        kept = sum(b'"text"' in line for line in full[:cut].split(b"\n") if _is_json(line))
        assert answer() == len(QUESTIONS) - kept, cut  # what is whole is not asked again


@given(st.integers(0, 3), st.integers(-3, 2))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_run_that_was_cut_near_the_end_of_a_line_goes_on(
    whole: Path, batch: Batch, omni: FakeOmni, tmp_path: Path, line: int, by: int
) -> None:
    full = (whole / "o.jsonl").read_bytes()
    cut = len(b"".join(full.splitlines(keepends=True)[: line + 1])) + by
    write(tmp_path / "q.jsonl", QUESTIONS)
    (tmp_path / "o.jsonl").write_bytes(full[:cut])
    code, err = batch("-q")
    assert code == 1, err
    assert answers(tmp_path / "o.jsonl") == ANSWERED and len(objects(tmp_path / "o.jsonl")) == len(QUESTIONS)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "content",
    [
        b"an important note, not JSON\n",
        b"an important note, not JSON",
        b'{"no id": 1}\n',
        b'{"id": "job1", "error": "disk full"}\n{"id": "job2", "error": "timeout"}\n',
        b'{"id": "a", "text": "theirs", "token_ids": [1]}\n',
        b'{"id": "a", "request": "theirs", "text": "x"}\n',
        b'{"id": "other", "te',
        b'{"id": "a", "text": "hal',
        b"[1, 2]\n",
        b"\x00\x00\x00\x00",
        b"\xff\xfe{\x00}\x00",
        b"PK\x03\x04 an archive",
    ],
)
def test_a_file_of_another_kind_is_left_alone(
    batch: Batch, tmp_path: Path, omni: FakeOmni, content: bytes
) -> None:
    write(tmp_path / "q.jsonl", QUESTIONS)
    out = tmp_path / "o.jsonl"
    out.write_bytes(content)
    code, err = batch()
    assert code == 1 and "no reply of muomni's" in err and "choose another --out" in err
    assert out.read_bytes() == content and not omni.asked
    assert sorted(file.name for file in tmp_path.iterdir()) == ["o.jsonl", "q.jsonl"]


@pytest.mark.parametrize("place", [0, 1, -1])
@pytest.mark.parametrize(
    "line", [b"my own note\n", b'{"id": "mine", "error": "full"}\n', b'{"id": "mine", "error": "full"}']
)
def test_one_line_of_the_users_among_replies_keeps_all_of_it(
    batch: Batch, tmp_path: Path, omni: FakeOmni, place: int, line: bytes
) -> None:
    write(tmp_path / "q.jsonl", QUESTIONS)
    batch()
    out = tmp_path / "o.jsonl"
    lines = out.read_bytes().splitlines(keepends=True)
    lines.insert(place if place >= 0 and line.endswith(b"\n") else len(lines), line)
    out.write_bytes(b"".join(lines))
    omni.asked.clear()
    assert batch()[0] == 1
    assert out.read_bytes() == b"".join(lines) and not omni.asked


def test_an_answer_to_another_question_is_not_taken(batch: Batch, tmp_path: Path, omni: FakeOmni) -> None:
    write(tmp_path / "q.jsonl", [{"text": "one"}, {"text": "two"}])
    batch()
    before = (tmp_path / "o.jsonl").read_bytes()
    write(tmp_path / "q.jsonl", [{"text": "new"}, {"text": "one"}, {"text": "two"}])
    code, err = batch()
    assert code == 1 and "its reply to the id 1 (and 1 more) was made for another question" in err
    assert (tmp_path / "o.jsonl").read_bytes() == before


@pytest.mark.parametrize("change", ["option", "model"])
def test_nor_is_one_with_other_options_or_by_another_model(
    batch: Batch, tmp_path: Path, omni: FakeOmni, change: str
) -> None:
    write(tmp_path / "q.jsonl", QUESTIONS[:2])
    batch()
    if change == "model":
        omni.manifest.identity = "cd" * 32
    code, err = batch(*(["--max-new-tokens", "3"] if change == "option" else []))
    assert code == 1 and "another model" in err


def test_a_default_that_is_spelled_out_is_the_default(batch: Batch, tmp_path: Path, omni: FakeOmni) -> None:
    write(tmp_path / "q.jsonl", QUESTIONS[:2])
    batch()
    assert batch("--max-new-tokens", "64", "--temperature", "0")[0] == 0 and len(omni.asked) == 2


def test_new_requests_are_added_to_old_replies(batch: Batch, tmp_path: Path, omni: FakeOmni) -> None:
    write(tmp_path / "q.jsonl", QUESTIONS[:2])
    batch()
    write(tmp_path / "q.jsonl", [{"id": "new", "text": "five"}])
    assert batch()[0] == 0
    assert answers(tmp_path / "o.jsonl") == {'"a"': ANSWERED['"a"'], "2": "re: two", '"new"': "re: five"}


@pytest.mark.parametrize("link", ["same", "symbolic", "hard", "dots"])
def test_the_requests_are_no_place_for_replies(run: Run, tmp_path: Path, omni: FakeOmni, link: str) -> None:
    requests = write(tmp_path / "q.jsonl", QUESTIONS)
    before, out = requests.read_bytes(), tmp_path / "o.jsonl"
    if link == "symbolic":
        out.symlink_to(requests)
    elif link == "hard":
        os.link(requests, out)
    elif link == "dots":
        out = tmp_path / "." / ".." / tmp_path.name / "q.jsonl"
    else:
        out = requests
    code, _, err = run("--batch", requests, "--out", out)
    assert code == 2 and "is the file of the requests" in err
    assert requests.read_bytes() == before and not omni.loaded


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (KeyboardInterrupt(), 130),
        (MemoryError(), 1),
        (ZeroDivisionError("x"), 1),
        (OSError(5, "I/O error"), 1),
    ],
)
def test_what_was_answered_before_a_failure_is_kept(
    batch: Batch, tmp_path: Path, omni: FakeOmni, failure: BaseException, code: int
) -> None:
    write(tmp_path / "q.jsonl", [{"text": str(number)} for number in range(5)])

    def fail(index: int) -> None:
        if index == 3:
            raise failure

    omni.before = fail
    left, err = batch()
    assert left == code
    assert "3 answered, 0 failed" in err and "stopped before 2 more" in err
    assert len(answers(tmp_path / "o.jsonl")) == 3
    omni.before = lambda index: None
    assert batch()[0] == 0
    assert len(answers(tmp_path / "o.jsonl")) == 5 and len(omni.asked) == 5


def test_nothing_is_left_where_nothing_was_answered(batch: Batch, tmp_path: Path, omni: FakeOmni) -> None:
    write(tmp_path / "q.jsonl", QUESTIONS)

    def fail(index: int) -> None:
        raise KeyboardInterrupt

    omni.before = fail
    assert batch()[0] == 130
    assert [file.name for file in tmp_path.iterdir()] == ["q.jsonl"]


LIMITED = """
import resource, signal, sys
import muomni
from tests.runtime.cli.fake import FakeOmni
vars(muomni)["Omni"] = FakeOmni()
from muomni.cli.run import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_leaves_whole_lines(batch: Batch, tmp_path: Path, omni: FakeOmni) -> None:
    requests = write(tmp_path / "q.jsonl", [{"text": str(number)} for number in range(9)])
    words = ["--batch", str(requests), "--out", str(tmp_path / "o.jsonl")]
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, *words], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1 and "File too large" in result.stderr and "Traceback" not in result.stderr
    done = answers(tmp_path / "o.jsonl")
    assert 0 < len(done) < 9
    assert batch()[0] == 0
    assert len(answers(tmp_path / "o.jsonl")) == 9 and len(omni.asked) == 9 - len(done)


def test_two_runs_do_not_share_a_file(batch: Batch, tmp_path: Path, omni: FakeOmni) -> None:
    lines = read_requests(b'{"text": "a"}', "q", Path(), {})
    write(tmp_path / "q.jsonl", QUESTIONS)
    with RepliesFile(tmp_path / "o.jsonl", lines, "model") as replies:
        replies.append(lines[0], "model", {"text": "theirs"})
        code, err = batch()
        assert code == 1 and "another run is writing it" in err and not omni.asked
    assert answers(tmp_path / "o.jsonl") == {"1": "theirs"}


HOLDING = """
import sys, time
from pathlib import Path
from muomni.cli.replies_file import RepliesFile
with RepliesFile(Path(sys.argv[1]), [], "model"):
    print("open", flush=True)
    time.sleep(60)
"""


def test_a_new_file_that_another_run_locked_first_stays(
    batch: Batch, tmp_path: Path, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one has it open, and what it writes would be gone with the name."""

    def taken(file: object) -> None:
        raise BlockingIOError

    monkeypatch.setattr("muomni.cli.replies_file._lock", taken)
    write(tmp_path / "q.jsonl", QUESTIONS)
    code, err = batch()
    assert code == 1 and "another run is writing it" in err
    assert (tmp_path / "o.jsonl").exists()


def test_a_run_that_was_killed_keeps_nobody_out(batch: Batch, tmp_path: Path) -> None:
    write(tmp_path / "q.jsonl", QUESTIONS[:2])
    words = [sys.executable, "-c", HOLDING, str(tmp_path / "o.jsonl")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline().strip() == b"open"
        assert "another run is writing it" in batch()[1]
        holder.kill()
    assert batch()[0] == 0


@pytest.mark.parametrize(
    ("out", "says"),
    [("none/o.jsonl", "mkdir -p"), (".", "expected a file"), ("q.jsonl/o.jsonl", "expected a file")],
)
def test_where_no_file_can_be(run: Run, tmp_path: Path, omni: FakeOmni, out: str, says: str) -> None:
    requests = write(tmp_path / "q.jsonl", QUESTIONS)
    code, _, err = run("--batch", requests, "--out", tmp_path / out)
    assert code == 1 and says in err and not omni.asked


def test_the_mode_and_the_link_of_the_file_stay(batch: Batch, tmp_path: Path, omni: FakeOmni) -> None:
    write(tmp_path / "q.jsonl", QUESTIONS)
    real = tmp_path / "real.jsonl"
    (tmp_path / "o.jsonl").symlink_to(real)
    batch()
    real.chmod(0o640)
    batch()  # replaces an error
    assert (tmp_path / "o.jsonl").is_symlink() and real.stat().st_mode & 0o777 == 0o640
    assert answers(real) == ANSWERED


def test_half_a_surrogate_pair_ends_nothing(batch: Batch, tmp_path: Path, omni: FakeOmni) -> None:
    lines = r'{"id": "\ud800", "text": "a"}' + "\n" + r'{"text": "\udfff"}' + "\n" + '{"text": "c"}\n'
    (tmp_path / "q.jsonl").write_text(lines)
    code, _ = batch()
    assert code == 1
    assert answers(tmp_path / "o.jsonl") == {r'"\ud800"': "re: a", "3": "re: c"}
    assert batch()[0] == 1 and len(objects(tmp_path / "o.jsonl")) == 3


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
@pytest.mark.parametrize("out", ["-", "/dev/stdout"])
def test_through_a_pipe(tmp_path: Path, out: str) -> None:
    from tests.runtime.cli.test_streams import shell

    command = """printf '{"text": "a"}\\n{"text": "bad"}' | @run --batch - --out %s | cat""" % out  # noqa: UP031
    result = shell(command, cwd=tmp_path, timeout=60)
    assert [
        value.get("text", value.get("error")) for value in map(json.loads, result.stdout.splitlines())
    ] == [
        "re: a",
        "it is bad",
    ]
    assert b"1 answered, 1 failed: stdout" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
def test_a_reader_that_leaves_ends_the_batch_quietly(tmp_path: Path) -> None:
    from tests.runtime.cli.test_streams import shell

    write(tmp_path / "q.jsonl", [{"text": "x" * 1000} for _ in range(500)])
    result = shell("@run -q --batch q.jsonl --out - | head -1; echo ${PIPESTATUS[0]}", cwd=tmp_path)
    first, code = result.stdout.splitlines()
    assert json.loads(first)["id"] == 1 and code == b"141"
    assert b"Traceback" not in result.stderr


def test_files_that_cannot_be_locked_are_written_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(file: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("muomni.cli.replies_file._lock", no_locks)
    lines = read_requests(b'{"text": "a"}', "q", Path(), {})
    with RepliesFile(tmp_path / "o.jsonl", lines, "model") as replies:
        replies.append(lines[0], "model", {"text": "b"})
        assert "cannot be locked" in replies.notes[0]
    assert answers(tmp_path / "o.jsonl") == {"1": "b"}
    with pytest.raises(OutputError, match="no reply of muomni's"):
        (tmp_path / "n").write_text("note\n")
        RepliesFile(tmp_path / "n", lines, "model")
