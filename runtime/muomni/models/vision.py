"""The vision stage: an image to features and to what the Thinker reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import VisionStage
from muomni.errors import StageError
from muomni.media.image import ImageSource, pixels
from muomni.ort.rows import Rows, on_host
from muomni.ort.session import GraphSession


@dataclass(frozen=True)
class ImageFeatures:
    """What the vision encoder computes of one image.

    Attributes:
        cls: class feature (1, d).
        grid: patch features (N, d), row by row.
        embeds: what the Thinker reads (embeddings_per_image, D); None without a projector.

    Example:
        >>> features = omni.vision.encode("shapes.png")
        >>> features.cls.shape, features.grid.shape
        ((1, 128), (144, 128))
    """

    cls: NDArray[np.float32]
    grid: NDArray[np.float32]
    embeds: NDArray[np.float32] | None


class Vision:
    """The image encoder of a bundle.

    Example:
        >>> omni.vision.encode("shapes.png").embeds.shape
        (36, 192)
    """

    def __init__(self, session: GraphSession, stage: VisionStage) -> None:
        self.session, self.stage = session, stage

    def encode(self, image: ImageSource) -> ImageFeatures:
        """Encode one image (path, bytes, PIL image or array).

        Raises:
            MediaError: the image cannot be read.
        """
        return self.encode_all([image])[0]

    def encode_all(
        self, images: Sequence[ImageSource], notes: list[str] | None = None
    ) -> list[ImageFeatures]:
        """Encode several images in one run; ``notes`` gets what there is to say of them."""
        result = self.session.run({"pixels": self._pixels(images, notes)})
        embeds = result.get("embeds")
        return [
            ImageFeatures(result["cls"][i], result["grid"][i], None if embeds is None else embeds[i])
            for i in range(len(images))
        ]

    def embed(self, images: Sequence[ImageSource], notes: list[str] | None = None) -> NDArray[np.float32]:
        """Rows for the prompt, image after image (n · embeddings_per_image, D).

        Raises:
            StageError: the bundle has no projector into the Thinker.
        """
        return on_host(self.rows(images, notes))

    def rows(self, images: Sequence[ImageSource], notes: list[str] | None = None) -> Rows:
        """As :meth:`embed`; on a device they stay there."""
        if not self.stage.embeddings_per_image:
            raise StageError(
                "this bundle's vision stage has no projector, so its images cannot enter a prompt"
            )
        return self.session.rows({"pixels": self._pixels(images, notes)}, "embeds")

    def _pixels(self, images: Sequence[ImageSource], notes: list[str] | None) -> NDArray[np.float32]:
        return np.stack([pixels(image, self.stage.image_size, notes=notes) for image in images])
