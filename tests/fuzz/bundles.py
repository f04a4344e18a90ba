"""What lies in a bundle, what is spoken with it, and what a conversation leaves."""

from __future__ import annotations

import io
import random
import tempfile
from functools import cache
from pathlib import Path

from tests.fuzz.batch import demo
from tests.fuzz.kind import Kind
from tests.fuzz.structure import vary_json, vary_text, vary_zip, zip_checksums

READINGS = Path(__file__).parents[1] / "runtime" / "speech" / "readings.tsv"
PARITY_TOKENIZER = (
    Path(__file__).parents[1] / "data" / "parity" / "checkpoints" / "thinker_tiny" / "tokenizer.model"
)
WORDS = ("Hello there!", "Zwölf Boxkämpfer, 1234 € – und 日本語.", "\U0001f600 \n\t  x", "")


def _folder() -> Path:
    from muomni.bundle.demo import demo_bundle

    return demo_bundle()


def _manifests() -> list[bytes]:
    return [(_folder() / "manifest.json").read_bytes()]


def _vary_manifest(data: bytes, draw: random.Random) -> bytes:
    return vary_json(data.decode(), draw).encode("utf-8", "surrogatepass")


def _open_bundle(path: Path) -> None:
    """A bundle with this manifest: every model of it, an answer and a word."""
    import muomni

    with tempfile.TemporaryDirectory() as made:
        for file in _folder().iterdir():
            if file.name != "manifest.json":
                Path(made, file.name).symlink_to(file)
        Path(made, "manifest.json").write_bytes(path.read_bytes())
        names = sorted(file.name for file in Path(made).iterdir())
        try:
            with muomni.Omni.load(made, device="cpu", threads=1) as omni:
                omni.generate("hi", max_new_tokens=2)
                omni.warm_up()
                if omni.manifest.text_input is not None:
                    omni.speak("hi")
        finally:
            assert sorted(file.name for file in Path(made).iterdir()) == names, "the bundle was changed"


def _tokenizers() -> list[bytes]:
    return [(_folder() / "tokenizer.model").read_bytes(), PARITY_TOKENIZER.read_bytes()]


def _tokenize(path: Path) -> None:
    """As the tokenizer of a bundle whose manifest was written for it."""
    from dataclasses import replace

    import sentencepiece

    from muomni.models.tokenizer import Tokenizer

    entry = demo().manifest.tokenizer
    assert entry is not None
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(path)).get_piece_size()
    except (OSError, RuntimeError):
        pieces = entry.pieces
    tokenizer = Tokenizer(path, replace(entry, pieces=pieces))
    for text in WORDS:
        tokenizer.decode(tokenizer.encode(text))
    tokenizer.decode(range(300))


def _texts() -> list[bytes]:
    readings = READINGS.read_text(encoding="utf-8").splitlines()
    lines = [line.split("\t")[0] for line in readings if line and not line.startswith("#")]
    return [line.encode() for line in lines[::8]]


def _speak(path: Path) -> None:
    """The phonemes of a text: as of one piece, so of many."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    whole = _phonemes([text])
    step = 1 + len(text) // 7
    assert _phonemes([text[i : i + step] for i in range(0, len(text), step)]) == whole, "pieces matter"


def _phonemes(pieces: list[str]) -> list[int]:
    from muomni.speech.phonemizer import Phonemizer

    talker = demo().talker
    phonemizer = Phonemizer(talker.letters, talker.phonemes)
    ids: list[int] = []
    for piece in pieces:
        phonemizer.push(piece)
        while made := phonemizer.read():
            ids += made
    phonemizer.finish()
    while made := phonemizer.read():
        ids += made
    assert phonemizer.finished
    "".join(phonemizer.notes).encode()  # half of a surrogate pair could not be printed
    return ids


@cache
def _conversations() -> list[bytes]:
    import numpy as np

    from muomni.engine.memory import to_arrays
    from muomni.requests import Request

    saved = []
    chat = demo().chat()
    picture = np.zeros((24, 32, 3), dtype=np.uint8)
    for request in (
        None,
        Request("Hello!", max_new_tokens=3),
        Request("And this?", images=[picture], max_new_tokens=3),
    ):
        if request is not None:
            chat.say(request)
        stream = io.BytesIO()
        np.savez(stream, **to_arrays(chat._memory, chat._graph_sha256()))  # type: ignore[arg-type]
        saved.append(stream.getvalue())
    return saved


def _vary_conversation(data: bytes, draw: random.Random) -> bytes:
    """The archive as any other, or what its header says."""
    import numpy as np

    if draw.random() < 0.5:
        return vary_zip(data, draw)
    with np.load(io.BytesIO(data)) as file:
        arrays = dict(file)
    header = vary_json(str(arrays["conversation"]), draw)
    arrays["conversation"] = np.array(header.encode("utf-8", "replace").decode())
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _go_on(path: Path) -> None:
    import muomni

    chat = muomni.Conversation.load(path, demo())
    chat.say("And then?", max_new_tokens=2)
    chat.fork().say("And else?", max_new_tokens=1, truncate=True)


BUNDLES = {
    "manifest": Kind(_manifests, _open_bundle, vary=_vary_manifest),
    "tokenizer": Kind(_tokenizers, _tokenize),
    "speech": Kind(_texts, _speak, vary=vary_text),
    "conversation": Kind(_conversations, _go_on, zip_checksums, _vary_conversation),
}
