"""The ceiling of decode: every weight of the graph read once a token, at the measured bandwidth.

The embedding table is left out: a token reads one row of it.
"""

from __future__ import annotations

from muomni.bundle.folder import Bundle

from .machine import MEMORY_BYTES, read_bandwidth


def weight_bytes_per_token(bundle: Bundle) -> int:
    """Bytes of the Thinker's weights that one decode step reads.

    The embedding table has vocabulary times width of the graph's parameters.
    """
    stage = bundle.manifest.thinker
    assert stage is not None
    entry = bundle.manifest.graphs[stage.graph]
    read = max(entry.parameters - stage.vocabulary * stage.width, 0)
    return round(read * entry.weight_bits / 8)


def measure_limit(bundle: Bundle, tokens_per_s: float) -> dict[str, float]:
    """Bandwidths, the token rates they allow, and the shares of them that ``tokens_per_s`` reaches."""
    size = max(weight_bytes_per_token(bundle), 1)
    memory = read_bandwidth(max(MEMORY_BYTES, 2 * size))
    resident = read_bandwidth(size)
    return {
        "weight_bytes_per_token": size,
        "memory_gb_per_s": round(memory / 1e9, 2),
        "resident_gb_per_s": round(resident / 1e9, 2),
        "memory_tokens_per_s": round(memory / size, 1),
        "resident_tokens_per_s": round(resident / size, 1),
        "memory_share": round(tokens_per_s * size / memory, 4),
        "resident_share": round(tokens_per_s * size / resident, 4),
    }
