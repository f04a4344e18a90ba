"""Rows to requests and back, without a cluster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import muomni

pytestmark = pytest.mark.ray
pa = pytest.importorskip("pyarrow", reason='rows of a data set need pyarrow: pip install "muomni[ray]"')
from muomni.cluster.rows import REPLY_COLUMNS, SpeechPlace, columns_of, request_of, table_of  # noqa: E402

SPEECH = muomni.Speech(np.zeros(160, np.float32), 16_000, np.zeros((1, 2), np.int64))


def test_media_are_paths_or_bytes(tmp_path: Path) -> None:
    request = request_of({"text": "a", "images": [b"1", "b.png"], "audio": b"2"}, {"top_k": 3}, tmp_path)
    assert isinstance(request, muomni.Request)
    assert request.images == (b"1", tmp_path / "b.png") and request.audio == b"2"
    assert request.sampling.top_k == 3
    one = request_of({"images": "a.png", "video": "b.gif", "ocr": True}, {}, tmp_path)
    assert isinstance(one, muomni.Request)
    assert one.images == (tmp_path / "a.png",) and one.video == tmp_path / "b.gif"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": 3}, "text: expected str"),
        ({"text": "a", "seed": 2**63}, "seed: expected at most"),
        ({"text": "a", "colour": "red"}, "unknown key 'colour'"),
        ({"text": "a", "audio": 3}, "audio: expected str"),
    ],
)
def test_what_cannot_be_asked_is_an_error_of_its_row(row: dict[str, object], message: str) -> None:
    error = request_of(row, {}, Path())
    assert isinstance(error, muomni.InputError) and message in str(error)


def test_every_reply_fits_the_columns() -> None:
    logprob = muomni.TokenLogprob(3, -0.5, ((3, -0.5), (4, -1.5)))
    replies = [
        columns_of(muomni.Reply("a", (1, 2), "stop", seed=2**62, logprobs=(logprob,), ocr=("x",)), None),
        columns_of(muomni.Reply("b", (), "length", speech=SPEECH), None),
        columns_of(muomni.Reply("c", (), "length", speech=SPEECH), "place.wav"),
        columns_of(muomni.InputError("no"), None),
    ]
    table = table_of(replies, pa.table({"id": [1, 2, 3, 4]}))
    assert table.column_names == ["id", *REPLY_COLUMNS]
    rows = table.to_pylist()
    assert rows[0]["logprobs"][0]["top"][1] == {"token_id": 4, "logprob": -1.5}
    assert rows[1]["speech"][:4] == b"RIFF" and rows[2]["speech"] is None
    assert rows[2]["speech_path"] == "place.wav"
    assert rows[3]["error"] == "no" and rows[3]["text"] is None


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_speech_goes_to_a_file_that_its_name_decides(tmp_path: Path, scheme: str) -> None:
    place = SpeechPlace(f"{scheme}{tmp_path}")
    assert place.put(SPEECH, "a-1") == f"{scheme}{tmp_path}/a-1.wav"
    assert soundfile.read(tmp_path / "a-1.wav")[1] == 16_000
    odd = place.put(SPEECH, "../a")
    assert odd is not None and odd == place.put(SPEECH, "../a") and odd != place.put(SPEECH, "../b")
    assert len(list(tmp_path.iterdir())) == 3 and not list(tmp_path.parent.glob("*.wav"))
