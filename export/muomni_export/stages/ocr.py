"""The OCR model, which is recognised and not exported yet."""

from __future__ import annotations

from .stage import StageExport, StateDict

OCR = StageExport(
    name="ocr",
    state_dicts=(StateDict("ocr", {"ocr": ("model",)}, "ocr"),),
    load=None,
    file_stems=("ocr",),
    folder_prefix="ocr",
)
