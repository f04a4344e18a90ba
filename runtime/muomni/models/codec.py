"""The codec stage: speech codes to mel frames, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import CodecStage
from muomni.errors import InputError
from muomni.ort.session import GraphSession


class Codec:
    """The residual vector quantiser of a bundle: a decoder graph and an encoder graph.

    Example:
        >>> codes = np.zeros((10, omni.codec.stage.codebooks), dtype=np.int64)
        >>> omni.codec.decode(codes).shape
        (10, 80)
    """

    def __init__(self, decoder: GraphSession, encoder: GraphSession, stage: CodecStage) -> None:
        self._decoder, self._encoder, self.stage = decoder, encoder, stage

    def decode(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Codes (T, C) -> mel (T, bins).

        Raises:
            InputError: another shape, or a code outside its codebook.
        """
        codes = np.asarray(codes, dtype=np.int64)
        if codes.ndim != 2 or codes.shape[1] != self.stage.codebooks or len(codes) == 0:
            raise InputError(
                f"codes: expected (T, {self.stage.codebooks}) with T of at least 1, got {codes.shape}"
            )
        if codes.min() < 0 or codes.max() >= self.stage.codebook_size:
            raise InputError(
                f"codes: expected 0 to {self.stage.codebook_size - 1}, got {codes.min()} to {codes.max()}"
            )
        mel: NDArray[np.float32] = self._decoder.run({"codes": codes[None]})["mel"][0]
        return mel

    def encode(self, mel: NDArray[np.float32]) -> NDArray[np.int64]:
        """Mel (T, bins) -> the nearest codes (T, C), codebook after codebook.

        Raises:
            InputError: another shape.
        """
        if mel.ndim != 2 or mel.shape[1] != self.stage.mel_bins or len(mel) == 0:
            raise InputError(
                f"mel: expected (T, {self.stage.mel_bins}) with T of at least 1, got {mel.shape}"
            )
        result = self._encoder.run({"mel": np.ascontiguousarray(mel[None], dtype=np.float32)})
        codes: NDArray[np.int64] = result["codes"][0]
        return codes
