"""Kokoro-82M: speech from phonemes in the voice of a style vector, and exactly how long each phoneme lasts."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from . import files

SAMPLE_RATE_HZ = 24_000
SAMPLES_PER_DURATION = 600
DURATIONS = "/encoder/Round_output_0"
"""An inner tensor of the graph: how many times 600 samples each token lasts."""
STYLES = ("jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo")
"""Five whose blends are held out in part. The second letter of a name tells a woman's from a man's, the first the
language: American, British, Spanish, French, Hindi, Italian, Japanese, Portuguese, Chinese."""
ENGLISH_STYLES = (
    "af_alloy", "af_aoede", "af_bella", "af_heart", "af_jessica", "af_kore", "af_nicole", "af_nova", "af_river",
    "af_sarah", "af_sky", "am_adam", "am_echo", "am_eric", "am_fenrir", "am_liam", "am_michael", "am_onyx", "am_puck",
    "am_santa", "bf_alice", "bf_emma", "bf_isabella", "bf_lily", "bm_daniel", "bm_fable", "bm_george", "bm_lewis",
)  # fmt: skip
ACCENTED_STYLES = (
    "ef_dora", "em_alex", "ff_siwis", "hf_alpha", "hf_beta", "hm_omega", "hm_psi", "if_sara", "im_nicola", "pf_dora",
    "pm_alex", "jf_alpha", "jf_nezumi", "jf_tebukuro", "jm_kumo", "zf_xiaobei", "zf_xiaoni", "zf_xiaoxiao", "zf_xiaoyi",
    "zm_yunjian", "zm_yunxi", "zm_yunxia", "zm_yunyang",
)  # fmt: skip
"""Other languages' voices, which speak English in their own way."""
STYLES_FOLDER = "kokoro.js/voices"
"""Of Kokoro's source distribution, which has a file of float32 (lengths, 256) a style."""
MOST_TOKENS = 500
TIMBRE = 128
"""Of the 256 numbers of a style, how many say what a voice sounds like; the others say how it moves and paces."""

Array = NDArray[np.float32]
Blend = Mapping[str, float]
"""Style -> weight; weights add up to 1."""


@dataclass(frozen=True)
class Spoken:
    """Samples at 24 kHz, and the sample where each piece ends (the first begins at ``start``)."""

    samples: Array
    start: int
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, samples: Array, token_ends: NDArray[np.int64], ids: Sequence[Sequence[int]]) -> Spoken:
        """Where tokens end, the first of them a silence before all -> where pieces end."""
        lengths = np.cumsum([len(piece) for piece in ids])
        return cls(samples.reshape(-1).astype(np.float32), int(token_ends[0]), token_ends[lengths])


def token_ids(vocabulary: Mapping[str, int], pieces: Sequence[str]) -> list[list[int]]:
    """The numbers of each piece's letters.

    Raises:
        ValueError: A letter is not in the alphabet, or there are more than :data:`MOST_TOKENS`.
    """
    unknown = {letter for piece in pieces for letter in piece} - vocabulary.keys()
    if unknown:
        raise ValueError(f"Kokoro's alphabet has no {', '.join(sorted(unknown))}")
    ids = [[vocabulary[letter] for letter in piece] for piece in pieces]
    if not 0 < (count := sum(map(len, ids))) <= MOST_TOKENS:
        raise ValueError(f"1 to {MOST_TOKENS} letters are said at once, not {count}")
    return ids


def session_with(model: Path, inner: str, threads: int) -> onnxruntime.InferenceSession:
    """A graph with one of its inner tensors as its last output."""
    graph = onnx.load(model)
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(inner))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


class Kokoro:
    """Speaks pieces of Kokoro's alphabet.

    Raises:
        TeacherError: its files are missing or others.
    """

    def __init__(self, folder: Path = files.DEFAULT_FOLDER, threads: int = 1) -> None:
        model, styles, vocabulary = files.checked(folder, files.KOKORO)
        self._session = session_with(model, DURATIONS, threads)
        self._ids: dict[str, int] = json.loads(vocabulary.read_text(encoding="utf-8"))["vocab"]
        self._styles = _read_styles(styles)

    def style(self, timbre: Blend, manner: Blend | None = None) -> Array:
        """A style for each length of text, (lengths, 256): convex blends, of the manner another one where given."""
        parts = [
            sum(weight * self._styles[name] for name, weight in blend.items())
            for blend in (timbre, manner or timbre)
        ]
        return np.concatenate((parts[0][:, :TIMBRE], parts[1][:, TIMBRE:]), axis=1).astype(np.float32)

    def speak(self, pieces: Sequence[str], style: Array, speed: float = 1.0) -> Spoken:
        """Say pieces of text in Kokoro's alphabet.

        Raises:
            ValueError: A letter is not in the alphabet, or there are more than :data:`MOST_TOKENS`.
        """
        ids = token_ids(self._ids, pieces)
        flat = [i for piece in ids for i in piece]
        samples, durations = self._session.run(
            ["audio", DURATIONS],
            {
                "tokens": np.array([[0, *flat, 0]], dtype=np.int64),
                "style": style[min(len(flat), len(style)) - 1][None],
                "speed": np.array([speed], dtype=np.float32),
            },
        )
        ends = np.cumsum(durations.reshape(-1).astype(np.int64)) * SAMPLES_PER_DURATION
        return Spoken.of(samples, ends, ids)


def _read_styles(distribution: Path) -> dict[str, Array]:
    """Name -> a style for each length of text, (lengths, 256)."""
    styles = {}
    with tarfile.open(distribution) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if path.parent.match(f"*/{STYLES_FOLDER}") and (file := archive.extractfile(member)):
                styles[path.stem] = np.frombuffer(file.read(), np.float32).reshape(-1, 2 * TIMBRE)
    return styles
