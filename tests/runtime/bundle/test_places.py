"""Where a bundle lies, and what lies in the place of its files: the error names it and a fix that works."""

from __future__ import annotations

import copy
import pickle
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import muomni
from muomni.bundle.demo import demo_bundle
from muomni.bundle.folder import open_bundle
from muomni.errors import BundleError, InputError, UsageError

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the demo, in a folder whose name a shell would split."""
    return Path(shutil.copytree(demo_bundle(), tmp_path / "my bundle"))


@pytest.mark.parametrize("relative", ["my bundle", "./my bundle", "other/../my bundle"])
def test_a_relative_path_survives_chdir(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: str
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with muomni.Omni.load(relative) as omni:
        monkeypatch.chdir(tmp_path / "other")
        assert omni.generate("hi").text
        assert omni.speak("hello").seconds > 0.2  # graphs that load only now
        omni.verify()


@pytest.mark.parametrize("name", ["thinker.onnx.data", "vocoder.onnx", "tokenizer.model", "manifest.json"])
def test_a_git_lfs_pointer_is_named(bundle: Path, name: str) -> None:
    (bundle / name).write_text(POINTER)
    with pytest.raises(BundleError, match=r"git-lfs pointer") as caught:
        open_bundle(bundle)
    assert name in str(caught.value)
    command = str(caught.value).splitlines()[-1]
    assert shlex.split(command) == ["git", "-C", str(bundle), "lfs", "pull"]


def test_a_link_to_nothing_is_named(bundle: Path) -> None:
    (bundle / "codec.onnx").unlink()
    (bundle / "codec.onnx").symlink_to("../blobs/0123")
    with pytest.raises(BundleError, match=r"codec\.onnx: a link to \.\./blobs/0123, which is not there"):
        open_bundle(bundle)


def test_weights_behind_a_link_are_named_and_the_advice_works(bundle: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "blobs"
    elsewhere.mkdir()
    (bundle / "thinker.onnx.data").rename(elsewhere / "weights")
    (bundle / "thinker.onnx.data").symlink_to(elsewhere / "weights")
    with pytest.raises(BundleError, match=r"thinker\.onnx\.data: a link to .*weights") as caught:
        muomni.Omni.load(bundle).generate("hi")
    command = str(caught.value).split(": ")[-1]
    assert command.startswith("cp -rL ")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert muomni.Omni.load(tmp_path / "COPY").generate("hi").text


def test_a_cache_in_which_every_file_is_a_link_works(bundle: Path, tmp_path: Path) -> None:
    """As the Hugging Face hub's: links with names to files without."""
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for number, file in enumerate(sorted(bundle.iterdir())):
        file.rename(bundle / str(number))
        (snapshot / file.name).symlink_to(bundle / str(number))
    omni = muomni.Omni.load(snapshot)
    assert omni.generate("hi").text and omni.speak("hello").seconds > 0.2


@pytest.mark.parametrize("url", ["https://huggingface.co/a/b", "s3://bucket/bundle", "hf://a/b"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_url_is_called_one(url: str, kind: type[str | Path]) -> None:
    with pytest.raises(BundleError) as caught:
        muomni.Omni.load(kind(url))
    assert str(caught.value).startswith(f"{url}: a URL")


def test_a_checkpoints_advice_is_a_command(tmp_path: Path) -> None:
    folder = tmp_path / "it's mine"
    folder.mkdir()
    (folder / "omni.pt").write_bytes(b"weights")
    with pytest.raises(BundleError, match="PyTorch checkpoint") as caught:
        open_bundle(folder)
    command = str(caught.value).splitlines()[-1]
    assert shlex.split(command) == ["muomni-export", str(folder), "--out", "BUNDLE"]


def test_pickling_says_what_to_do() -> None:
    omni = muomni.Omni.load()
    chat = omni.chat()
    chat.say("hi")
    for thing in (omni, chat):
        with pytest.raises(UsageError, match=r"Omni\.load\(…\) in each process"):
            pickle.dumps(thing)
    with pytest.raises(UsageError):
        copy.deepcopy(omni)


@pytest.mark.parametrize("text", [None, 5, b"hello", ["a", 5], [b"a"]])
def test_what_is_no_text_is_not_spoken(text: object) -> None:
    with pytest.raises(InputError, match="expected"):
        muomni.Omni.load().speak(text)  # type: ignore[arg-type]
