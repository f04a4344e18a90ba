"""An option that does not apply is refused, never ignored, before anything is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from tests.runtime.cli.conftest import Run
from tests.runtime.cli.fake import FakeOmni

from muomni.cli import bench, doctor
from muomni.cli import run as command
from muomni.cli.modes import APPLIES

ASK, SAY, BATCH = ["--text", "x"], ["--say", "x", "--audio-out", "a.wav"], ["--batch", "q", "--out", "o"]


def test_every_option_has_its_row() -> None:
    names = {parameter.name for parameter in typer.main.get_command(command.app).params}
    assert names == set(APPLIES)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([*SAY, "--text", "y"], "leave out --text"),
        ([*SAY, "--max-new-tokens", "64"], "leave out --max-new-tokens"),  # given, though it is the default
        ([*SAY, "--temperature", "1"], "leave out --temperature"),
        ([*SAY, "--stop", "a"], "leave out --stop"),
        ([*SAY, "--truncate"], "leave out --truncate"),
        ([*SAY, "--speech-frames", "9"], "leave out --speech-frames"),
        ([*SAY, "--video-frames", "9"], "leave out --video-frames"),
        ([*SAY, *BATCH], "leave out --batch, --out"),
        (["--say", "x"], "--say needs --audio-out or --play"),
        (["--listen", "--text", "y"], "leave out --text"),
        (["--listen", "--audio-out", "a.wav"], "leave out --audio-out"),
        (["--listen", "--play"], "leave out --play"),
        (["--headphones"], "--headphones: only with --listen"),
        ([*BATCH, "--text", "y"], "leave out --text"),
        ([*BATCH, "--prompt", "y"], "leave out --prompt"),
        ([*BATCH, "--audio-out", "a.wav"], "leave out --audio-out"),
        ([*BATCH, "--speed", "1.5"], "leave out --speed"),
        ([*BATCH, "--json"], "leave out --json"),
        ([*BATCH, "--slots", "3", "--rows", "3"], "--rows is the former name of --slots"),
        (["--batch", "q"], "--batch needs --out"),
        (["--out", "o"], "--out: only with --batch"),
        ([*ASK, "--slots", "3"], "--slots: only with --batch"),
        ([*ASK, "--rows", "3"], "--rows: only with --batch"),
        ([*ASK, "--speech-temperature", "1"], "--speech-temperature needs --audio-out"),
        ([*ASK, "--speech-frames", "9"], "--speech-frames needs --audio-out"),
        ([*ASK, "--speed", "1.5"], "--speed needs --audio-out"),
        ([*ASK, "--video-frames", "2"], "--video-frames needs --video"),
        ([*ASK, "--ocr"], "--ocr needs --image"),
        ([*BATCH, "--ocr"], "leave out --ocr"),
        (["--ocr"], "add --image"),
        ([*ASK, "--image", "a.png", "--prompt", "y"], "--prompt is the question for media without --text"),
        ([*ASK, "--prompt", "y"], "--prompt needs --image"),
        ([*ASK, "--top-k", "3"], "--top-k narrows what is drawn"),
        ([*ASK, "--top-p", "0.5"], "--top-p narrows what is drawn"),
        (["--prompt", "y"], "add --image, --audio-in or --video"),
        (["--video-frames", "2"], "add --video"),
        (["--speed", "2"], "--speed needs --audio-out"),
    ],
    ids=" ".join,
)
def test_what_does_not_apply_is_refused(run: Run, omni: FakeOmni, arguments: list[str], says: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert not omni.loaded


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--model", "b"),
        ("--text", "y"),
        ("--audio-in", "a.wav"),
        ("--video", "a.mp4"),
        ("--prompt", "p"),
        ("--audio-out", "a.wav"),
        ("--max-new-tokens", "3"),
        ("--temperature", "1"),
        ("--seed", "1"),
        ("--threads", "1"),
        ("--device", "cpu"),
    ],
)
def test_an_option_given_twice_is_refused(run: Run, omni: FakeOmni, option: str, value: str) -> None:
    code, out, err = run(option, value, option, value)
    assert (code, out) == (2, "")
    assert option in err and "given 2 times" in err
    assert not omni.loaded


def test_two_spellings_of_one_option_are_the_option_given_twice(run: Run, omni: FakeOmni) -> None:
    code, _, err = run("--model", "a", "--ckpt_dir", "b", "--text", "x")
    assert code == 2 and "--ckpt_dir" in err


@pytest.mark.parametrize("module", [bench, doctor])
def test_the_other_commands_refuse_it_too(module: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        module.main(["--device", "cpu", "--device", "cuda"])  # type: ignore[attr-defined]
    assert left.value.code == 2
    assert "given 2 times" in capsys.readouterr().err


def test_what_may_be_repeated_is_taken(run: Run, omni: FakeOmni) -> None:
    assert run("--image", "a", "--image", "b", "--stop", "x", "--stop", "y", "-q", "-q")[0] == 0
    (request,) = omni.conversation.turns
    assert request.images == (Path("a"), Path("b")) and request.stop == ("x", "y")


def test_a_refusal_loads_no_numpy() -> None:
    code = (
        "import sys; from muomni.cli.run import main\n"
        "try: main(['--text', 'x', '--out', 'y'])\n"
        "except SystemExit as left: print(left.code, 'numpy' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout == "2 False\n"


def test_the_former_name_of_slots_is_taken(run: Run, omni: FakeOmni, tmp_path: Path) -> None:
    (tmp_path / "q").write_text('{"text": "a"}\n')
    assert run("--batch", tmp_path / "q", "--out", tmp_path / "o", "--rows", "3")[0] == 0
    assert omni.slots == 3
