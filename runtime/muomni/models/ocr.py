"""OCR: the text in a picture, character by character."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import OcrStage
from muomni.errors import BundleError, InputError
from muomni.media.image import ImageSource, pixels
from muomni.ort.decoder import Decoder
from muomni.ort.session import GraphSession


@dataclass(frozen=True)
class Recognised:
    """What was read in one picture.

    Attributes:
        text: the characters, without those that only mark a beginning, an end or an unknown one.
        ids: as they were generated, the one that ended the text included.

    Example:
        >>> found = omni.ocr.recognise("photo.jpg")
        >>> print(found.text, found.ids)
    """

    text: str
    ids: tuple[int, ...]


class Ocr:
    """The text reader of a bundle.

    Args:
        encoder: pixels to each layer's keys and values of the picture.
        decoder: one character at a time.
        characters: the text of each id.

    Example:
        >>> omni.ocr.read("photo.jpg")
    """

    def __init__(
        self, encoder: GraphSession, decoder: GraphSession, stage: OcrStage, characters: Sequence[str]
    ) -> None:
        self.stage, self.characters = stage, tuple(characters)
        self._encoder = encoder
        self._decoder = Decoder("OCR", decoder, stage)

    def read(self, image: ImageSource) -> str:
        """The text in a picture (path, bytes, PIL image or array); empty where nothing is read.

        Raises:
            MediaError: the image cannot be read.
            ExecutionError: ONNX Runtime failed.
        """
        return self.recognise(image).text

    def recognise(self, image: ImageSource, notes: list[str] | None = None) -> Recognised:
        """As :meth:`read`, with the ids. At most ``context_length`` of them are generated, the likeliest each.

        Args:
            notes: gets what there is to say of the image.

        Raises:
            MediaError, ExecutionError: as :meth:`read`.
        """
        step = _Step(self._decoder, self._keys_and_values(image, notes))
        ids: list[int] = []
        last = self.stage.start_id
        while len(ids) < self.stage.context_length:
            last = int(step.logits(last).argmax())
            ids.append(last)
            if last in self.stage.end_ids:
                break
        text = "".join(self.characters[i] for i in ids if i not in self.stage.end_ids)
        return Recognised(text, tuple(ids))

    def logits(self, image: ImageSource, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits (len(ids), V) after each of the ids, the first of which is the start id.

        Raises:
            InputError: an id outside the vocabulary; ContextError: more than fit.
            MediaError, ExecutionError: as :meth:`read`.
        """
        if bad := [i for i in ids if not 0 <= i < self.stage.vocabulary]:
            raise InputError(f"character id {bad[0]}: expected 0 to {self.stage.vocabulary - 1}")
        step = _Step(self._decoder, self._keys_and_values(image, None))
        return np.stack([step.logits(i).copy() for i in ids])

    def _keys_and_values(self, image: ImageSource, notes: list[str] | None) -> dict[str, NDArray[np.float32]]:
        """Of the picture, by their names in the decoder, (1, heads, patches, head_size) each."""
        return self._encoder.run({"pixels": pixels(image, self.stage.image_size, notes=notes)[None]})


class _Step:
    """One character after the other; the picture is written into the bound inputs once."""

    def __init__(self, decoder: Decoder, picture: dict[str, NDArray[np.float32]]) -> None:
        self._decoder, self._cache = decoder, decoder.start(1, decoder.context_length)
        self._shapes = {"input_ids": (1, 1), **{name: array.shape for name, array in picture.items()}}
        bound = decoder.step(self._cache, 1, self._shapes)
        for name, array in picture.items():
            bound.inputs[name][...] = array
            bound.hold(name)

    def logits(self, last: int) -> NDArray[np.float32]:
        """Append an id; logits (V,) of the next, reused by the next call."""
        bound = self._decoder.step(self._cache, 1, self._shapes)
        bound.inputs["input_ids"][0, 0] = last
        bound.run()
        logits: NDArray[np.float32] = bound.results["logits"][0]
        return logits


def read_characters(path: Path, vocabulary: int) -> list[str]:
    """The text of each id, from a JSON file.

    Raises:
        BundleError: the file holds no list of texts, or not one for each id.
    """
    try:
        characters = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not a list of characters ({error})") from error
    if not isinstance(characters, list) or not all(isinstance(text, str) for text in characters):
        raise BundleError(f"{path}: expected a JSON list of characters")
    if len(characters) != vocabulary:
        raise BundleError(
            f"{path}: expected {vocabulary} characters, as the manifest says, got {len(characters)}"
        )
    return characters
