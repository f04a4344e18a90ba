"""The model in training: μOmni's stages from ``muomni_export.modules``, projectors, and heads for direct labels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from muomni_export.modules.audio_encoder import AudioEncoder, AudioSizes
from muomni_export.modules.decoder import DecoderSizes
from muomni_export.modules.thinker import Thinker, ThinkerSizes
from muomni_export.modules.vision import VisionEncoder, VisionSizes, image_features
from recipe.tokenizer import VOCABULARY_SIZE
from recipe.voices import SOUNDS
from recipe.world.lexicon import COLOURS, SHAPES

from .attention import HalfAttention

BLANK = 0  # of CTC: the tokenizer's "unknown", which no transcript holds


THINKER = ThinkerSizes(
    DecoderSizes(width=192, layers=4, heads=6, kv_heads=3, hidden=512), VOCABULARY_SIZE, context_length=384
)
VISION = VisionSizes(image_size=96, patch=8, width=128, layers=4, heads=4, hidden=384, stem_channels=32)
AUDIO = AudioSizes(
    mel_bins=128, downsampling=8, channels=32, width=160, layers=4, heads=5, hidden=480,
    mel_compression="log", convolution_kernel=9,
)  # fmt: skip


@dataclass(frozen=True)
class PerceptionSizes:
    """What is trained. ``image_pool`` patches a side are averaged into one embedding."""

    thinker: ThinkerSizes = THINKER
    vision: VisionSizes = VISION
    audio: AudioSizes = AUDIO
    image_pool: int = 2

    @property
    def grid_side(self) -> int:
        return self.vision.image_size // self.vision.patch

    @property
    def image_embeddings(self) -> int:
        return (self.grid_side // self.image_pool) ** 2


class CentreHead(nn.Module):
    """What has its centre in a patch: the direct label of the vision encoder, used in training only.

    Logits: something or nothing, shapes, colours, big or small, then x and y of the centre.
    """

    SPLITS = (1, len(SHAPES), len(COLOURS), 2, 2)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, sum(self.SPLITS))

    def forward(self, grid: Tensor) -> tuple[Tensor, ...]:
        """Grid features (B, N, d) -> logits, (B, N, n) each."""
        return self.linear(grid).float().split(self.SPLITS, dim=-1)


class Perception(nn.Module):
    """Thinker, encoders and projectors, with the training-only heads."""

    def __init__(self, sizes: PerceptionSizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes = sizes or PerceptionSizes()
        width = sizes.thinker.decoder.width
        self.thinker = Thinker(sizes.thinker)
        self.vision = VisionEncoder(sizes.vision)
        self.audio = AudioEncoder(sizes.audio)
        self.proj_v = nn.Linear(sizes.vision.width, width)
        self.proj_a = nn.Linear(sizes.audio.width, width)
        self.ctc_head = nn.Linear(sizes.audio.width, sizes.thinker.vocabulary)
        self.sound_head = nn.Linear(sizes.audio.width, 2 * len(SOUNDS))
        self.centre_head = CentreHead(sizes.vision.width)
        self.reset()

    def reset(self) -> None:
        """Normal weights; the last layer of each residual branch smaller (GPT-2's rule)."""
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2 and not name.startswith(("audio.down.", "vision.stem.", "vision.proj.")):
                nn.init.normal_(parameter, std=0.3 if "emb" in name else parameter.shape[-1] ** -0.5 * 0.7)
        for name, parameter in self.named_parameters():
            if name.endswith(
                ("attn.o.weight", "down_proj.weight", "out_proj.weight", "linear2.weight", "mlp.2.weight")
            ):
                with torch.no_grad():
                    parameter.mul_(0.35)
        for block in self.audio.blocks:
            if hasattr(block, "conv"):
                nn.init.normal_(block.conv.weight, std=0.1)
        self._reset_pixels()
        nn.init.normal_(self.vision.pos, std=0.3)
        nn.init.normal_(self.vision.cls, std=0.02)
        nn.init.normal_(self.centre_head.linear.weight, std=0.02)
        nn.init.constant_(self.centre_head.linear.bias[:1], -4.0)  # most patches hold no centre

    def _reset_pixels(self) -> None:
        """Keep what the pixels say as large as the positions are, or only colours are seen for a long time.

        Pixels are 0…1 with contrasts of about a quarter: the first convolution takes them as (x - 0.5) · 4.
        """
        convolutions = [m for m in self.vision.stem if isinstance(m, nn.Conv2d)]
        for conv in (*convolutions, self.vision.proj):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)
        first = convolutions[0]
        with torch.no_grad():
            first.weight.mul_(4.0)
            first.bias.copy_(-0.5 * first.weight.sum(dim=(1, 2, 3)))

    def see(self, pixels: Tensor, learn: bool = True) -> tuple[Tensor, Tensor]:
        """Bytes or 0…1 floats (B, 3, S, S) -> what the Thinker reads (B, E, D), grid features (B, N, d).

        With ``learn`` off only the projector gets gradients, at a third of the cost.
        """
        if pixels.dtype == torch.uint8:
            pixels = pixels.float() / 255
        with torch.set_grad_enabled(learn and torch.is_grad_enabled()):
            cls, grid = self.vision(pixels)
        return self.proj_v(image_features(cls, grid, self.sizes.image_pool)), grid

    def hear(self, mel: Tensor, learn: bool = True) -> tuple[Tensor, Tensor]:
        """Mel power (B, T, M) -> what the Thinker reads (B, E, D), audio features (B, E, d); ``learn`` as in seeing."""
        with torch.set_grad_enabled(learn and torch.is_grad_enabled()):
            features = self.audio(mel)
        return self.proj_a(features), features


@contextlib.contextmanager
def half_precision(device: str) -> Iterator[None]:
    """bfloat16 where it is safe; on a CPU with an attention that is fast there."""
    with torch.autocast(device, dtype=torch.bfloat16):
        if device == "cpu":
            with HalfAttention():
                yield
        else:
            yield
