"""What is to be known of a kind of input to fuzz it, and the mutations that all kinds share."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

INTERESTING = (
    0,
    1,
    2,
    4,
    16,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 63,
)


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        samples: makes some good inputs, small ones.
        read: gives a file to muomni; a ``MuomniError`` or a result are both right.
        repair: sets checksums right after a mutation, so that what lies behind them is reached; used every other time.
        vary: a mutation that keeps the form of the input, in place of mutated bytes every other time.
        needs: packages without which it cannot be tried.
    """

    samples: Callable[[], Sequence[bytes]]
    read: Callable[[Path], object]
    repair: Callable[[bytes], bytes] | None = None
    vary: Callable[[bytes, random.Random], bytes] | None = None
    needs: tuple[str, ...] = ()


def mutated(kind: Kind, samples: Sequence[bytes], seed: int, index: int) -> bytes:
    """File number ``index`` of a seed: always the same."""
    draw = random.Random(f"{seed}:{index}")
    if kind.vary is not None and draw.random() < 0.5:
        return kind.vary(draw.choice(samples), draw)
    data = bytearray(draw.choice(samples))
    for _ in range(draw.choice((1, 1, 1, 2, 2, 3, 5, 8, 20))):
        _mutate(data, samples, draw)
    if kind.repair is not None and draw.random() < 0.5:
        return kind.repair(bytes(data))
    return bytes(data)


def _mutate(data: bytearray, samples: Sequence[bytes], draw: random.Random) -> None:
    # Headers decide most, and stand at the beginning.
    at = draw.randrange(min(len(data), 256) if draw.random() < 0.5 else len(data)) if data else 0
    span = min(len(data) - at, draw.choice((1, 2, 4, 8, 16, 64, 512, 4096)))
    match draw.randrange(9):
        case 0 if data:
            data[at] ^= 1 << draw.randrange(8)
        case 1 if data:
            data[at] = draw.randrange(256)
        case 2 | 3 if data:
            width = draw.choice((1, 2, 4, 8))
            value = draw.choice(INTERESTING) & ((1 << 8 * width) - 1)
            data[at : at + width] = value.to_bytes(width, draw.choice(("little", "big")))
        case 4:
            del data[at : at + span]
        case 5:
            data[at:at] = data[at : at + span]
        case 6:
            data[at : at + span] = draw.randbytes(span)
        case 7:
            other = draw.choice(samples)
            start = draw.randrange(len(other))
            data[at : at + span] = other[start : start + draw.choice((4, 16, 64, 1024))]
        case 8:
            del data[at:]
