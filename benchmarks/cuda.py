"""Is muomni right on a GPU, and how fast: ``python benchmarks/cuda.py``, see ``cuda_proof.py``."""

from __future__ import annotations

from pkgutil import extend_path

# PyTorch imports NVIDIA's package of this name, and a script's folder comes first on its path: the way there stays.
__path__ = extend_path([], "cuda")

if __name__ == "__main__":
    from cuda_proof import main

    raise SystemExit(main())
