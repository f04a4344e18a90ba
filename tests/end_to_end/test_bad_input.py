"""Bad and unusual input: a clear error or a right answer, never a traceback, never a half-written file.

Every row runs ``muomni-run --json`` in this process. A row that must fail names a fragment of the message; a
row that must work names the case of the parity set whose ids it must reproduce (the same picture or sound in
another coat), or a fragment of stderr, or nothing more than that it answers.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import soundfile
from PIL import Image

from muomni.bundle.folder import sha256_of
from muomni.bundle.manifest import MANIFEST_NAME

PARITY = Path(__file__).parents[1] / "data" / "parity"
EXPECTED: dict[str, Any] = json.loads((PARITY / "expected" / "expected.json").read_text())
PICTURE = PARITY / "inputs" / "image0.png"
SPEECH = PARITY / "inputs" / "speech_16k.wav"
FAILED, USAGE = 1, 2


class Result(Protocol):
    code: int
    out: str
    err: str


Runner = Callable[..., Result]


@dataclass(frozen=True)
class Kit:
    """A folder of its own for each row, and the bundle."""

    folder: Path
    bundle: Path

    @property
    def out(self) -> Path:
        """Where a row that speaks writes."""
        return self.folder / "out"

    def file(self, name: str, data: bytes = b"") -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def cut(self, source: Path, name: str, part: float) -> Path:
        """The first part of a file."""
        data = source.read_bytes()
        return self.file(name, data[: int(len(data) * part)])

    def image(self, name: str, image: Image.Image, **options: Any) -> Path:
        path = self.folder / name
        image.save(path, **options)
        return path

    def sound(self, name: str, samples: np.ndarray, rate: int = 16000, **options: Any) -> Path:
        path = self.folder / name
        soundfile.write(path, samples, rate, **options)
        return path

    def copy_of_bundle(self) -> Path:
        copy = self.folder / "bundle"
        shutil.copytree(self.bundle, copy)
        return copy

    def edited_manifest(self, edit: Callable[[dict[str, Any]], object]) -> Path:
        """A copy of the bundle whose manifest went through ``edit``."""
        copy = self.copy_of_bundle()
        path = copy / MANIFEST_NAME
        manifest = json.loads(path.read_text())
        edit(manifest)
        path.write_text(json.dumps(manifest))
        return copy

    def swapped(self, name: str, data: bytes) -> Path:
        """A copy of the bundle with a file replaced and its size and sha256 forged."""
        copy = self.copy_of_bundle()
        (copy / name).write_bytes(data)
        path = copy / MANIFEST_NAME
        manifest = json.loads(path.read_text())
        manifest["files"][name] = {"bytes": len(data), "sha256": sha256_of(copy / name)}
        path.write_text(json.dumps(manifest))
        return copy


Arguments = list[str | Path]


@dataclass(frozen=True)
class Row:
    """``make`` writes what is needed and gives the arguments; ``--model`` is added when it is not there."""

    name: str
    make: Callable[[Kit], Arguments]
    code: int = 0
    says: str = ""
    same_as: str | None = None


def picture(mode: str = "RGB") -> Image.Image:
    return Image.open(PICTURE).convert("RGB").convert(mode)


def speech(dtype: str = "int16") -> np.ndarray:
    samples: np.ndarray = soundfile.read(SPEECH, dtype=dtype)[0]
    return samples


def looks(make: Callable[[Kit], Path]) -> Callable[[Kit], Arguments]:
    """A question about the image that ``make`` writes."""
    return lambda kit: ["--text", EXPECTED["mm_image0"]["text"], "--image", make(kit)]


def hears(make: Callable[[Kit], Path]) -> Callable[[Kit], Arguments]:
    return lambda kit: ["--text", EXPECTED["mm_audio"]["text"], "--audio-in", make(kit)]


def watches(make: Callable[[Kit], Path], *more: str) -> Callable[[Kit], Arguments]:
    return lambda kit: ["--video", make(kit), *more]


def speaks(path: Callable[[Kit], str | Path], *more: str) -> Callable[[Kit], Arguments]:
    return lambda kit: ["--text", "hello", "--speech-frames", "8", "--audio-out", path(kit), *more]


def asks(*options: str) -> Callable[[Kit], Arguments]:
    return lambda kit: ["--text", "hello", *options]


def runs(make: Callable[[Kit], Path], *more: str) -> Callable[[Kit], Arguments]:
    """A text question to the bundle that ``make`` writes."""
    return lambda kit: ["--model", make(kit), "--text", "hello", *more]


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def rotated(kit: Kit) -> Path:
    """The picture lying on its side, with an EXIF note that says how to put it up."""
    image = picture().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    return kit.image("rotated.png", image, exif=exif)


def sixteen_bit(kit: Kit) -> Path:
    gray = np.asarray(picture("L"), dtype=np.uint16) * 257
    return kit.image("deep.png", Image.fromarray(gray))


def frames(count: int = 6) -> list[Image.Image]:
    return [picture().rotate(20 * i) for i in range(count)]


def animation(kit: Kit, name: str) -> Path:
    first, *rest = frames()
    return kit.image(name, first, save_all=True, append_images=rest, duration=100)


def mp4(kit: Kit, name: str = "clip.mp4") -> Path:
    av = pytest.importorskip("av")
    path = kit.folder / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for image in frames(12):
            for packet in stream.encode(av.VideoFrame.from_image(image.resize((64, 64)))):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def mp3(kit: Kit) -> Path:
    if "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile has no MP3")
    return kit.sound("speech.mp3", speech("float32"), format="MP3")


def with_bad_samples(value: float) -> Callable[[Kit], Path]:
    def make(kit: Kit) -> Path:
        samples = speech("float32").copy()
        samples[100] = value
        return kit.sound("bad.wav", samples, subtype="FLOAT")

    return make


def at_rate(rate: int) -> Callable[[Kit], Path]:
    """The speech played at another rate: another sound, but one that must be heard."""
    return lambda kit: kit.sound("rate.wav", speech()[: rate * 2], rate)


def with_channels(count: int) -> Callable[[Kit], Path]:
    return lambda kit: kit.sound("channels.wav", np.repeat(speech()[:, None], count, axis=1))


def folder(kit: Kit) -> Path:
    path = kit.folder / "a-folder.png"
    path.mkdir()
    return path


def changed_byte(kit: Kit) -> Path:
    copy = kit.copy_of_bundle()
    path = copy / "thinker.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return copy


def without(name: str) -> Callable[[Kit], Path]:
    def make(kit: Kit) -> Path:
        copy = kit.copy_of_bundle()
        (copy / name).unlink()
        return copy

    return make


def manifest_of(data: bytes) -> Callable[[Kit], Path]:
    def make(kit: Kit) -> Path:
        copy = kit.copy_of_bundle()
        (copy / MANIFEST_NAME).write_bytes(data)
        return copy

    return make


def edited(edit: Callable[[dict[str, Any]], object]) -> Callable[[Kit], Path]:
    return lambda kit: kit.edited_manifest(edit)


def other_tokenizer(kit: Kit) -> Path:
    """A real tokenizer with other pieces, and a manifest forged to match."""
    import sentencepiece

    text = kit.file("corpus.txt", b"\n".join(b"a word or two of line %d" % i for i in range(200)))
    prefix = str(kit.folder / "other")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=prefix, vocab_size=40, model_type="bpe", minloglevel=2
    )
    return kit.swapped("tokenizer.model", Path(prefix + ".model").read_bytes())


def text_only(kit: Kit) -> Path:
    return kit.edited_manifest(lambda m: [m.__setitem__(s, None) for s in ("vision", "audio", "talker")])


def checkpoint(kit: Kit) -> Path:
    return PARITY / "checkpoints" / "omni_sft_tiny"


def below_a_file(kit: Kit) -> Path:
    """A folder nobody can make, whoever runs the test: root ignores permissions."""
    return kit.file("file") / "speech.wav"


IMAGES = [
    Row("no such image", looks(lambda k: k.folder / "no.png"), FAILED, "no.png"),
    Row("empty image", looks(lambda k: k.file("empty.png")), FAILED, "empty"),
    Row("text called .png", looks(lambda k: k.file("text.png", b"not a picture\n")), FAILED, "text.png"),
    Row("sound called .png", looks(lambda k: k.cut(SPEECH, "sound.png", 1)), FAILED, "sound.png"),
    Row("half a PNG", looks(lambda k: k.cut(PICTURE, "half.png", 0.5)), FAILED, "half.png"),
    Row(
        "PNG cut in its header",
        looks(lambda k: k.file("cut.png", PICTURE.read_bytes()[:20])),
        FAILED,
        "cut.png",
    ),
    Row(
        "half a JPEG",
        looks(lambda k: k.cut(k.image("a.jpg", picture().resize((256, 256))), "half.jpg", 0.5)),
        FAILED,
        "half.jpg",
    ),
    Row(
        "30,000 × 30,000 PNG", looks(lambda k: k.file("huge.png", png_header(30000, 30000))), FAILED, "pixels"
    ),
    Row("0 × 0 PNG", looks(lambda k: k.file("zero.png", png_header(0, 0))), FAILED, "zero.png"),
    Row("folder as image", looks(folder), FAILED, "a-folder.png"),
    Row("empty name as image", looks(lambda k: Path()), FAILED, "error"),
    Row("one bad image of two", lambda k: ["--image", PICTURE, "--image", k.file("b.png")], FAILED, "b.png"),
    Row("PNG called .jpg", looks(lambda k: k.cut(PICTURE, "a.jpg", 1)), same_as="mm_image0"),
    Row("TIFF", looks(lambda k: k.image("a.tiff", picture())), same_as="mm_image0"),
    Row("BMP", looks(lambda k: k.image("a.bmp", picture())), same_as="mm_image0"),
    Row("lossless WebP", looks(lambda k: k.image("a.webp", picture(), lossless=True)), same_as="mm_image0"),
    Row("CMYK JPEG", looks(lambda k: k.image("cmyk.jpg", picture("CMYK")))),
    Row("palette PNG", looks(lambda k: k.image("palette.png", picture("P")))),
    Row("palette with a transparent colour", looks(lambda k: k.image("p.png", picture("P"), transparency=0))),
    Row("opaque alpha", looks(lambda k: k.image("alpha.png", picture("RGBA"))), same_as="mm_image0"),
    Row("wholly transparent", looks(lambda k: k.image("clear.png", Image.new("RGBA", (64, 64))))),
    Row("gray", looks(lambda k: k.image("gray.png", picture("L")))),
    Row("gray with alpha", looks(lambda k: k.image("la.png", picture("LA")))),
    Row("one bit", looks(lambda k: k.image("bit.png", picture("1")))),
    Row("16-bit gray", looks(sixteen_bit)),
    Row("EXIF-rotated", looks(rotated), same_as="mm_image0"),
    Row("1 × 1", looks(lambda k: k.image("dot.png", Image.new("RGB", (1, 1))))),
    Row("4000 × 1", looks(lambda k: k.image("line.png", Image.new("RGB", (4000, 1))))),
    Row("animation as image", looks(lambda k: animation(k, "moving.gif"))),
    Row("260 images", lambda k: [w for _ in range(260) for w in ("--image", PICTURE)], FAILED, "positions"),
]
SOUNDS = [
    Row("no such sound", hears(lambda k: k.folder / "no.wav"), FAILED, "no.wav"),
    Row("empty sound", hears(lambda k: k.file("empty.wav")), FAILED, "empty.wav"),
    Row("text called .wav", hears(lambda k: k.file("text.wav", b"not a sound\n" * 50)), FAILED, "text.wav"),
    Row("picture called .wav", hears(lambda k: k.cut(PICTURE, "picture.wav", 1)), FAILED, "picture.wav"),
    Row("half a WAV", hears(lambda k: k.cut(SPEECH, "half.wav", 0.5)), FAILED, "half.wav"),
    Row(
        "WAV cut in its header",
        hears(lambda k: k.file("cut.wav", SPEECH.read_bytes()[:30])),
        FAILED,
        "cut.wav",
    ),
    Row("half an MP3", hears(lambda k: k.cut(mp3(k), "half.mp3", 0.5)), FAILED, "half.mp3"),
    Row("0 samples", hears(lambda k: k.sound("none.wav", np.zeros(0))), FAILED, "none.wav"),
    Row("NaN", hears(with_bad_samples(float("nan"))), FAILED, "bad.wav"),
    Row("infinity", hears(with_bad_samples(float("inf"))), FAILED, "bad.wav"),
    Row("folder as sound", hears(folder), FAILED, "a-folder.png"),
    Row("1 channel", hears(with_channels(1)), same_as="mm_audio"),
    Row("2 channels", hears(with_channels(2)), same_as="mm_audio"),
    Row("3 channels", hears(with_channels(3)), same_as="mm_audio"),
    Row("4 channels", hears(with_channels(4)), same_as="mm_audio"),
    Row("5 channels", hears(with_channels(5)), same_as="mm_audio"),
    Row("6 channels", hears(with_channels(6)), same_as="mm_audio"),
    Row("24-bit", hears(lambda k: k.sound("24.wav", speech("int32"), subtype="PCM_24")), same_as="mm_audio"),
    Row("32-bit", hears(lambda k: k.sound("32.wav", speech("int32"), subtype="PCM_32")), same_as="mm_audio"),
    Row("float", hears(lambda k: k.sound("f.wav", speech("float32"), subtype="FLOAT")), same_as="mm_audio"),
    Row("double", hears(lambda k: k.sound("d.wav", speech("float64"), subtype="DOUBLE")), same_as="mm_audio"),
    Row("8-bit", hears(lambda k: k.sound("8.wav", speech("float32"), subtype="PCM_U8"))),
    Row("FLAC", hears(lambda k: k.sound("a.flac", speech())), same_as="mm_audio"),
    Row("FLAC called .wav", hears(lambda k: k.sound("a.wav", speech(), format="FLAC")), same_as="mm_audio"),
    Row("MP3", hears(mp3)),
    Row("8 kHz", hears(at_rate(8000))),
    Row("11.025 kHz", hears(at_rate(11025))),
    Row("44.1 kHz", hears(at_rate(44100))),
    Row("48 kHz", hears(at_rate(48000))),
    Row("96 kHz", hears(at_rate(96000))),
    Row("22.05 kHz parity recording", hears(lambda k: PARITY / "inputs" / "speech_22k.wav")),
    Row("silence", hears(lambda k: k.sound("silence.wav", np.zeros(16000)))),
    Row(
        "a minute",
        hears(lambda k: k.sound("long.wav", np.tile(speech(), 20))),
        FAILED,
        "quarter of the context",
    ),
    Row(
        "a minute, shortened",
        lambda k: ["--audio-in", k.sound("long.wav", np.tile(speech(), 20)), "--truncate"],
        says="the audio was shortened",
    ),
]
VIDEOS = [
    Row("no such video", watches(lambda k: k.folder / "no.mp4"), FAILED, "no.mp4"),
    Row("empty video", watches(lambda k: k.file("empty.mp4")), FAILED, "empty.mp4"),
    Row("text called .mp4", watches(lambda k: k.file("text.mp4", b"not a video\n" * 50)), FAILED, "text.mp4"),
    Row("half an MP4", watches(lambda k: k.cut(mp4(k), "half.mp4", 0.5)), FAILED, "half.mp4"),
    Row("sound as video", watches(lambda k: SPEECH), FAILED, "speech_16k.wav"),
    Row("half a GIF", watches(lambda k: k.cut(animation(k, "a.gif"), "half.gif", 0.3)), FAILED, "half.gif"),
    Row("folder as video", watches(folder), FAILED, "a-folder.png"),
    Row("MP4", watches(mp4)),
    Row("animated GIF", watches(lambda k: animation(k, "a.gif"))),
    Row("animated WebP", watches(lambda k: animation(k, "a.webp"))),
    Row("still image as video", watches(lambda k: k.image("one.gif", picture())), FAILED, "a still image"),
    Row(
        "more frames asked for than there are",
        watches(lambda k: animation(k, "a.gif"), "--video-frames", "50"),
    ),
]
BUNDLES = [
    Row("no such bundle", runs(lambda k: k.folder / "none"), FAILED, "no such folder"),
    Row("file as bundle", runs(lambda k: k.file("bundle")), FAILED, "not a muomni bundle"),
    Row("empty folder as bundle", runs(lambda k: k.folder), FAILED, "not a muomni bundle"),
    Row("checkpoint as bundle", runs(checkpoint), FAILED, "muomni-export"),
    Row(
        "checkpoint as --ckpt_dir",
        lambda k: ["--ckpt_dir", checkpoint(k), "--text", "x"],
        FAILED,
        "muomni-export",
    ),
    Row("changed byte", runs(changed_byte), FAILED, "the file changed since export"),
    Row("missing graph", runs(without("thinker.onnx")), FAILED, "thinker.onnx: missing"),
    Row(
        "missing graph of a stage not asked for", runs(without("vision.onnx")), FAILED, "vision.onnx: missing"
    ),
    Row("missing tokenizer", runs(without("tokenizer.model")), FAILED, "tokenizer.model: missing"),
    Row("missing manifest", runs(without(MANIFEST_NAME)), FAILED, "no manifest.json"),
    Row("manifest that is not JSON", runs(manifest_of(b"{")), FAILED, "not valid JSON"),
    Row("manifest that is not UTF-8", runs(manifest_of(b"\xff\xfe{}")), FAILED, "cannot be read"),
    Row("manifest that is a list", runs(manifest_of(b"[]")), FAILED, "schema version"),
    Row("manifest nested without end", runs(manifest_of(b"[" * 100000)), FAILED, "manifest.json"),
    Row("unknown key", runs(edited(lambda m: m.update(colour="red"))), FAILED, "unknown key 'colour'"),
    Row(
        "unknown key of a stage", runs(edited(lambda m: m["thinker"].update(x=1))), FAILED, "unknown key 'x'"
    ),
    Row("missing key", runs(edited(lambda m: m["thinker"].pop("heads"))), FAILED, "missing key 'heads'"),
    Row(
        "schema version 99", runs(edited(lambda m: m.update(schema_version=99))), FAILED, "schema version 99"
    ),
    Row("layers as text", runs(edited(lambda m: m["thinker"].update(layers="2"))), FAILED, "expected int"),
    Row("one layer too many", runs(edited(lambda m: m["thinker"].update(layers=9))), FAILED, "past."),
    Row(
        "file name that leads outside",
        runs(edited(lambda m: m["files"].update({"../x": {"bytes": 1, "sha256": "0"}}))),
        FAILED,
        "expected a plain name",
    ),
    Row("cut graph", runs(lambda k: _cut_graph(k)), FAILED, "the copy is incomplete"),
    Row(
        "garbage as graph",
        runs(lambda k: k.swapped("thinker.onnx", b"garbage")),
        FAILED,
        "cannot load this graph",
    ),
    Row(
        "another stage's graph",
        runs(lambda k: k.swapped("thinker.onnx", (k.bundle / "vision.onnx").read_bytes())),
        FAILED,
        "thinker graph",
    ),
    Row("garbage as tokenizer", runs(lambda k: k.swapped("tokenizer.model", b"x")), FAILED, "SentencePiece"),
    Row("another tokenizer", runs(other_tokenizer), FAILED, "pieces, the manifest says"),
    Row("image to a text-only bundle", runs(text_only, "--image", str(PICTURE)), FAILED, "has no vision"),
    Row("sound to a text-only bundle", runs(text_only, "--audio-in", str(SPEECH)), FAILED, "has no audio"),
]
OUTPUTS = [
    Row("output into no folder", speaks(lambda k: k.folder / "no" / "a.wav"), FAILED, "does not exist"),
    Row("output below a file", speaks(below_a_file), FAILED, "to be a folder"),
    Row("output is a folder", speaks(lambda k: _folder_called(k, "a.wav")), FAILED, "folder"),
    Row("output into a device", speaks(lambda k: "/dev/full"), USAGE, ".wav"),
    Row("output called .mp3", speaks(lambda k: k.out / "a.mp3"), USAGE, ".wav"),
    Row("output with a name of 300 letters", speaks(lambda k: k.out / ("a" * 300 + ".wav")), FAILED, "aaa"),
    Row("speech from a text-only bundle", lambda k: _silent(k), FAILED, "has no talker"),
    Row("speech beyond the Talker's context", lambda k: _spoken(k, "1000000"), FAILED, "Talker's context"),
]
TEXTS = [
    Row("empty text", lambda k: ["--text", ""], USAGE, "the text is empty"),
    Row("blank text", lambda k: ["--text", " \n\t"], USAGE, "the text is empty"),
    Row("emoji and other scripts", lambda k: ["--text", "😀👩‍👩‍👧 καλημέρα 你好 \u202eabc"]),
    Row("control characters", lambda k: ["--text", "\x01\x1b[31m\x7f"]),
    Row("bytes that are not UTF-8", lambda k: ["--text", "caf\udce9"], USAGE, "not valid Unicode"),
    Row("text beyond the context", lambda k: ["--text", "word " * 5000], FAILED, "positions"),
    Row(
        "text beyond the context, shortened",
        lambda k: ["--text", "word " * 5000, "--truncate"],
        says="the text was shortened",
    ),
    Row(
        "more new tokens than the context", asks("--max-new-tokens", "1000000000"), says="the context is full"
    ),
    Row("stop string", asks("--stop", "e")),
    Row("empty stop string", asks("--stop", "")),
]
OPTIONS = [
    Row("no model", lambda k: ["--model", "", "--text", "x"], FAILED, "bundle"),
    Row("temperature -1", asks("--temperature", "-1"), USAGE, "temperature"),
    Row("temperature nan", asks("--temperature", "nan"), USAGE, "temperature"),
    Row("temperature inf", asks("--temperature", "inf"), USAGE, "temperature"),
    Row("temperature hot", asks("--temperature", "hot"), USAGE, "--temperature"),
    Row("temperature 1e-300", asks("--temperature", "1e-300")),
    Row("top-k beyond the vocabulary", asks("--temperature", "1", "--top-k", "99999999", "--seed", "1")),
    Row("top-p 0", asks("--top-p", "0"), USAGE, "top_p"),
    Row("top-p 2", asks("--top-p", "2"), USAGE, "top_p"),
    Row("top-k -1", asks("--top-k", "-1"), USAGE, "--top-k"),
    Row("repetition penalty 0", asks("--repetition-penalty", "0"), USAGE, "repetition_penalty"),
    Row("seed -1", asks("--seed", "-1"), USAGE, "--seed"),
    Row("a huge seed", asks("--temperature", "1", "--seed", str(2**80))),
    Row("no new tokens", asks("--max-new-tokens", "0"), USAGE, "--max-new-tokens"),
    Row("no video frames", asks("--video-frames", "0"), USAGE, "--video-frames"),
    Row("no speech frames", asks("--speech-frames", "0"), USAGE, "--speech-frames"),
    Row("no threads", asks("--threads", "0"), USAGE, "--threads"),
    Row("unknown device", asks("--device", "tpu"), USAGE, "expected one of auto, cpu, cuda, got 'tpu'"),
    Row("unknown option", asks("--colour", "red"), USAGE, "--colour"),
    Row("stray word", asks("stray"), USAGE, "stray"),
]
ROWS = [*IMAGES, *SOUNDS, *VIDEOS, *BUNDLES, *OUTPUTS, *TEXTS, *OPTIONS]


def _cut_graph(kit: Kit) -> Path:
    copy = kit.copy_of_bundle()
    data = (copy / "thinker.onnx").read_bytes()
    (copy / "thinker.onnx").write_bytes(data[:-100])
    return copy


def _folder_called(kit: Kit, name: str) -> Path:
    (kit.out / name).mkdir()
    return kit.out / name


def _silent(kit: Kit) -> Arguments:
    return ["--model", text_only(kit), "--text", "hello", "--audio-out", kit.out / "a.wav"]


def _spoken(kit: Kit, count: str) -> Arguments:
    return ["--text", "hello", "--audio-out", kit.out / "a.wav", "--speech-frames", count]


@pytest.fixture
def kit(tmp_path: Path, parity_bundle: Path) -> Iterator[Kit]:
    (tmp_path / "out").mkdir()
    yield Kit(tmp_path, parity_bundle)


def test_there_are_more_than_fifty() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 50


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_or_unusual_input(row: Row, kit: Kit, muomni_run: Runner) -> None:
    arguments = row.make(kit)
    if not {"--model", "--ckpt_dir"} & set(arguments):
        arguments = ["--model", kit.bundle, *arguments]
    if "--max-new-tokens" not in arguments:
        arguments += ["--max-new-tokens", "16" if row.same_as else "4"]
    result = muomni_run("--json", *arguments)
    assert result.code == row.code, result.err
    assert row.says in result.err
    assert "Traceback" not in result.err and "--debug" not in result.err  # an error we foresaw
    if row.code:
        assert result.out == ""
        assert result.err.strip()
        assert not [path for path in kit.out.rglob("*") if path.is_file()]
    else:
        reply = json.loads(result.out)
        assert reply["completion_tokens"] == len(reply["token_ids"]) >= 1
        if row.same_as:
            assert reply["token_ids"] == EXPECTED[row.same_as]["greedy"]
    assert not list(kit.folder.rglob(".muomni-*"))


PLAIN: dict[str, Callable[[], tuple[Image.Image, Image.Image]]] = {
    "palette": lambda: (picture("P"), picture("P").convert("RGB")),
    "gray": lambda: (picture("L"), picture("L").convert("RGB")),
    "16-bit gray": lambda: (
        Image.fromarray(np.asarray(picture("L"), dtype=np.uint16) * 257),
        picture("L").convert("RGB"),
    ),
    "one bit": lambda: (picture("1"), picture("1").convert("RGB")),
}


@pytest.mark.parametrize("name", PLAIN)
def test_an_unusual_picture_is_seen_as_it_looks(name: str, kit: Kit, muomni_run: Runner) -> None:
    """The same ids for a mode and for what it looks like in plain RGB."""
    replies = []
    for index, image in enumerate(PLAIN[name]()):
        path = kit.image(f"{index}.png", image)
        replies.append(json.loads(muomni_run("--model", kit.bundle, "--image", path, "--json").out))
    assert replies[0]["token_ids"] == replies[1]["token_ids"]


def test_cuda_that_is_not_there(kit: Kit, muomni_run: Runner) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    result = muomni_run("--model", kit.bundle, "--text", "x", "--device", "cuda")
    assert (result.code, result.out) == (FAILED, "")
    assert "device 'cuda' was asked for" in result.err and 'pip install "muomni[gpu]"' in result.err


def test_an_older_file_survives_a_failed_run(kit: Kit, muomni_run: Runner) -> None:
    older = kit.out / "speech.wav"
    older.write_bytes(b"older")
    result = muomni_run(
        *("--model", kit.bundle, "--text", "x", "--audio-out", older, "--speech-frames", "1000000")
    )
    assert result.code == FAILED
    assert older.read_bytes() == b"older"
    assert [path.name for path in kit.out.iterdir()] == ["speech.wav"]


LIMITED = """
import resource, signal, sys
from muomni.cli.run import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_leaves_nothing_half_written(kit: Kit) -> None:
    """A limit of 1000 bytes a file: the write fails in the middle, as on a full disk."""
    out = kit.out / "speech.wav"
    arguments = ["--model", kit.bundle, "--text", "x", "--audio-out", out, "--speech-frames", "8"]
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (FAILED, "")
    assert "could not be written" in result.stderr and "Traceback" not in result.stderr
    assert list(kit.out.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout(kit: Kit, installed: Runner) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        result = installed(
            *("muomni-run", "--model", kit.bundle, "--text", "x"),
            capture_output=False,
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert result.code == FAILED
    assert "could not be written to stdout: No space left on device" in result.err
    assert "Traceback" not in result.err and "Exception ignored" not in result.err


def test_a_read_only_folder(kit: Kit, installed: Runner) -> None:
    folder = kit.folder / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    try:
        (folder / "probe").touch()
    except OSError:
        pass
    else:
        folder.chmod(0o755)
        pytest.skip("this user may write anywhere (root); the rows on outputs cover it in other ways")
    result = installed("muomni-run", "--model", kit.bundle, "--text", "x", "--audio-out", folder / "a.wav")
    folder.chmod(0o755)
    assert (result.code, result.out) == (FAILED, "")
    assert "permission" in result.err


def test_bytes_that_are_not_utf8_on_a_real_command_line(kit: Kit, installed: Runner) -> None:
    result = installed("muomni-run", "--model", kit.bundle, "--text", b"caf\xe9")
    assert (result.code, result.out) == (USAGE, "")
    assert "not valid Unicode" in result.err and "Traceback" not in result.err


def test_a_reader_that_stops_early_is_no_error(kit: Kit) -> None:
    command = f'"{sys.executable}" -m muomni.cli.run --model "{kit.bundle}" --text x -q | true'
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("", "")
