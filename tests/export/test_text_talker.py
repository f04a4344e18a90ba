"""A Talker that reads text, from the checkpoint to the samples."""

from __future__ import annotations

import json
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.export.text_talker_set import BINS, HOP, PHONEMES, RATE_HZ, speaking_modules, write_text_talker_set

import muomni
from muomni.cli.run import main
from muomni.errors import BundleError, CheckpointError, InputError, StageError
from muomni.speech.pointer import LONGEST_PHONEME_FRAMES
from muomni.speech.text_pointer import TextPointer
from muomni_export.checkpoint.checkpoint_set import read_checkpoint
from muomni_export.checkpoint.load import load_modules
from muomni_export.export import export_bundle
from muomni_export.verify import verify_bundle
from recipe.speaking.speak import TorchGraphs

TEXT = "A bad cab, and 3 faded bags. Did a dad gab? A cage"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_talker_set(tmp_path_factory.mktemp("spoken"))


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "b"
    export_bundle(checkpoint, out)
    return out


@pytest.fixture(scope="module")
def omni(bundle: Path) -> muomni.Omni:
    return muomni.Omni.load(bundle, device="cpu", threads=1)


def torch_graphs() -> TorchGraphs:
    """The loop's graphs by the torch modules that were exported."""
    talker, letters, _, _ = speaking_modules()
    return TorchGraphs(letters, talker)


def test_frames_are_those_of_the_torch_modules(omni: muomni.Omni) -> None:
    expected = list(TextPointer(torch_graphs(), PHONEMES).frames([TEXT]))
    speech = omni.speak(TEXT)
    assert speech.codes.tolist() == [list(frame) for frame in expected]
    assert len({tuple(frame) for frame in expected}) > 5, "a constant would prove nothing"


def test_samples_are_those_of_the_torch_modules(omni: muomni.Omni) -> None:
    speech = omni.speak(TEXT)
    _, _, codec, vocoder = speaking_modules()
    expected = vocoder(codec.decode(torch.from_numpy(speech.codes)[None]))[0].numpy()
    assert speech.sample_rate == RATE_HZ
    assert len(speech.samples) == len(speech.codes) * HOP
    assert np.abs(speech.samples - expected).max() < 1e-5
    assert np.abs(expected).max() > 0.01


def pieces(text: str, size: int) -> Iterator[str]:
    return (text[i : i + size] for i in range(0, len(text), size))


@pytest.mark.parametrize("size", [1, 3, 11, 200])
def test_text_in_pieces_makes_the_same_speech(omni: muomni.Omni, size: int) -> None:
    whole, parts = omni.speak(TEXT), omni.speak(pieces(TEXT, size))
    assert np.array_equal(parts.codes, whole.codes)
    assert np.array_equal(parts.samples, whole.samples)


def test_speech_is_heard_while_it_is_made(omni: muomni.Omni) -> None:
    given: list[np.ndarray] = []
    read: list[int] = []

    def text() -> Iterator[str]:
        for piece in pieces(TEXT, 1):
            read.append(len(given))
            yield piece

    speech = omni.speak(text(), on_audio=given.append)
    assert np.array_equal(np.concatenate(given), speech.samples)
    assert read[-1] > 0, "the first samples must not wait for the whole text"


@pytest.mark.parametrize("sizes", [(1,), (2, 5), (7,), (30, 1), (1000,)])
def test_any_chunking_of_the_vocoder_gives_the_same_samples(
    omni: muomni.Omni, sizes: tuple[int, ...]
) -> None:
    mel = np.random.default_rng(0).random((75, BINS), dtype=np.float32)
    whole = omni.vocoder.samples(mel)
    stream, made, at = omni.vocoder.stream(), [], 0
    while at < len(mel):
        for size in sizes:
            made.append(stream.feed(mel[at : at + size]))
            at += size
    made.append(stream.finish())
    assert np.abs(np.concatenate(made) - whole).max() < 1e-6
    assert len(np.concatenate(made)) == len(mel) * HOP


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 5, 9])
def test_a_short_utterance_through_the_stream(omni: muomni.Omni, frames: int) -> None:
    mel = np.random.default_rng(1).random((frames, BINS), dtype=np.float32)
    stream = omni.vocoder.stream()
    made = np.concatenate((stream.feed(mel), stream.finish()))
    assert len(made) == frames * HOP
    if frames:
        assert np.abs(made - omni.vocoder.samples(mel)).max() < 1e-6


def test_a_reply_is_spoken_and_streaming_changes_nothing(omni: muomni.Omni) -> None:
    given: list[np.ndarray] = []
    options = {"max_new_tokens": 24, "speech": True, "temperature": 0.8, "seed": 3}
    reply = omni.generate("hi", **options)
    streamed = omni.generate("hi", **options, on_audio=given.append)
    assert streamed.text == reply.text and streamed.token_ids == reply.token_ids
    assert reply.speech is not None and streamed.speech is not None
    assert np.array_equal(streamed.speech.samples, reply.speech.samples)
    assert np.array_equal(np.concatenate(given), reply.speech.samples)
    assert np.array_equal(reply.speech.samples, omni.speak(reply.text).samples)
    assert all(seconds >= 0 for seconds in streamed.timings.values())
    assert not reply.notes


def test_a_limit_of_frames_cuts_and_says_so(omni: muomni.Omni) -> None:
    reply = omni.generate("hi", max_new_tokens=24, temperature=0.8, seed=3, speech=True, speech_frames=7)
    assert reply.speech is not None
    assert len(reply.speech.codes) == 7
    assert reply.notes == ("the speech was cut after 7 frames",)
    longer = omni.generate(
        "hi",
        max_new_tokens=24,
        temperature=0.8,
        seed=3,
        speech=True,
        speech_frames=7,
        on_audio=lambda _: None,
    )
    assert longer.text == reply.text, "the reply goes on after the speech is cut"


def test_drawn_speech_is_repeatable(omni: muomni.Omni) -> None:
    one, two, other = (omni.speak(TEXT, temperature=1.0, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.codes, two.codes)
    assert one.codes.tolist() != other.codes.tolist()


def test_sounds_that_never_end_are_cut_and_counted(omni: muomni.Omni) -> None:
    graphs = torch_graphs()
    step = graphs.start()
    graphs.start = lambda: lambda *arguments: (*step(*arguments)[:2], -50.0)  # type: ignore[method-assign]
    spoken = TextPointer(graphs, PHONEMES)
    frames = list(spoken.frames(["bad"]))
    assert len(frames) == spoken.cut_phonemes * LONGEST_PHONEME_FRAMES > 0


@pytest.mark.parametrize("text", ["", " \n", "?!", "…"])
def test_nothing_to_say_is_an_error(omni: muomni.Omni, text: str) -> None:
    with pytest.raises(InputError, match="nothing in the text that can be spoken"):
        omni.speak(text)


def test_the_command_says_a_text(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "speech.wav"
    with pytest.raises(SystemExit) as left:
        main(["--model", str(bundle), "--say", TEXT, "--audio-out", str(path), "--json"])
    assert not left.value.code
    answer = json.loads(capsys.readouterr().out)
    assert answer["cut_phonemes"] == 0 and answer["path"] == str(path)
    with wave.open(str(path)) as file:
        assert file.getnframes() == len(answer["codes"]) * HOP
        assert file.getframerate() == RATE_HZ


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--say", "a"], "--say needs --audio-out"),
        (["--say", "  ", "--audio-out", "x.wav"], "--say: the text is empty"),
        (["--say", "a", "--audio-out", "x.wav", "--text", "b"], "leave out --text"),
    ],
)
def test_the_command_refuses(
    bundle: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--model", str(bundle), *arguments])
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_a_reference_talker_cannot_be_told(parity_bundle: Path) -> None:
    with pytest.raises(StageError, match="reads no text"):
        muomni.Omni.load(parity_bundle, device="cpu").speak("hello")


def test_a_told_talker_is_not_drawn_from(omni: muomni.Omni) -> None:
    with pytest.raises(StageError, match="reads text"):
        _ = omni.reference_talker


def test_the_question_for_a_picture_with_a_recording(omni: muomni.Omni) -> None:
    prompt = omni.manifest.prompt
    assert prompt.default_spoken_question == "Answer the question."
    audio = np.sin(np.arange(8000, dtype=np.float32) / 9) / 4, 16_000
    image = np.zeros((32, 32, 3), dtype=np.uint8)
    without = omni.generate(images=[image], audio=audio, max_new_tokens=1)
    asked = omni.generate("Answer the question.", images=[image], audio=audio, max_new_tokens=1)
    assert without.prompt_tokens == asked.prompt_tokens


def test_the_bundle_verifies_with_and_without_torch(bundle: Path, checkpoint: Path) -> None:
    graphs = {row.graph for row in verify_bundle(bundle)}
    assert {"talker", "letters", "context", "vocoder"} <= graphs
    assert {row.graph for row in verify_bundle(bundle, checkpoint)} == graphs


def test_a_quantised_bundle_speaks(checkpoint: Path, tmp_path: Path) -> None:
    export_bundle(checkpoint, tmp_path / "b", precision="int8")
    omni = muomni.Omni.load(tmp_path / "b", device="cpu", threads=1)
    assert len(omni.speak(TEXT).samples)
    assert np.load(tmp_path / "b" / "residual_by_base.npy").dtype == np.float16


@pytest.fixture
def broken(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the set, to be broken; its omni folder."""
    shutil.copytree(checkpoint.parents[1], tmp_path / "set")
    return tmp_path / "set" / "checkpoints" / checkpoint.name


@pytest.mark.parametrize(("old", "new"), [("letters.pt", "phonemizer.pt"), ("sounds.json", "phonemes.json")])
def test_the_fields_names_of_files_are_read(broken: Path, old: str, new: str) -> None:
    folder = broken.parent / "talker_micro"
    (folder / old).rename(folder / new)
    read = read_checkpoint(broken)
    assert new in {read.weights["phonemizer"].source.name, read.files["phonemes"].name}
    assert load_modules(read).phonemizer is not None


@pytest.mark.parametrize("name", ["letters.pt", "sounds.json"])
def test_a_missing_part_is_named(broken: Path, name: str) -> None:
    (broken.parent / "talker_micro" / name).unlink()
    with pytest.raises(CheckpointError, match=f"expected {name}, which this talker needs"):
        read_checkpoint(broken)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('["a", "b"]', "its 2 phonemes make 9 numbers"),
        ('{"a": 1}', "expected a JSON list of names of sounds"),
        ("[", "not a list of sounds"),
    ],
)
def test_a_foreign_list_of_phonemes_is_refused(broken: Path, content: str, message: str) -> None:
    (broken.parent / "talker_micro" / "sounds.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        load_modules(read_checkpoint(broken))


def test_a_text_conditioned_talker_needs_its_vocoder(broken: Path) -> None:
    shutil.rmtree(broken.parent / "vocoder_micro")
    with pytest.raises(CheckpointError, match="needs a vocoder"):
        load_modules(read_checkpoint(broken))


@pytest.mark.parametrize(
    ("config", "key", "value", "message"),
    [
        ("talker_micro", "spoken_text", None, "spoken_text of the talker: expected .*dilations"),
        ("talker_micro", "spoken_text", {"dilations": [1]}, "expected 2, one for each of context.convs"),
        ("vocoder_micro", "hop_length", 7, "hop_length of the vocoder: expected a divisor of 32"),
        ("vocoder_micro", "hop_length", None, "hop_length of the vocoder: expected a divisor of 32"),
        ("omni_sft_micro", "spoken_question", 3, "spoken_question of the audio: expected a text"),
    ],
)
def test_a_config_that_does_not_fit(broken: Path, config: str, key: str, value: object, message: str) -> None:
    path = broken.parents[1] / "configs" / f"{config}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(CheckpointError, match=message):
        load_modules(read_checkpoint(broken))


def test_a_changed_list_of_phonemes_in_a_bundle(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "b")
    (tmp_path / "b" / "phonemes.json").write_text("[" + " " * ((bundle / "phonemes.json").stat().st_size - 1))
    with pytest.raises(BundleError, match=r"phonemes\.json: the file changed since export"):
        muomni.Omni.load(tmp_path / "b", device="cpu").speak("a")
