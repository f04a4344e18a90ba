"""The contenders, by name. Nothing of a peer is imported before it is asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from .base import Contender


@dataclass(frozen=True)
class Entry:
    """Where a contender's class is, what it can run, and the distributions whose versions belong beside it."""

    place: str
    precisions: tuple[str, ...]
    packages: tuple[str, ...]

    def load(self) -> type[Contender]:
        """The class.

        Raises:
            ImportError: a package it needs is not installed.
        """
        module, _, name = self.place.partition(":")
        found: type[Contender] = getattr(importlib.import_module(f"contenders.{module}"), name)
        return found


ALL = ("fp32", "int8", "int4")

CONTENDERS: dict[str, Entry] = {
    "muomni": Entry("ours:Muomni", ALL, ("muomni", "onnxruntime")),
    "muomni, drafting head": Entry("ours:Drafting", ("fp32",), ("muomni", "onnxruntime")),
    "torch modules": Entry("pytorch:Modules", ("fp32",), ("torch",)),
    "transformers": Entry("pytorch:Transformers", ("fp32",), ("transformers", "torch")),
    "transformers, torch.compile": Entry("pytorch:Compiled", ("fp32",), ("transformers", "torch")),
    "onnxruntime, growing past": Entry("ort_loop:GrowingPast", ("fp32", "int8"), ("onnxruntime",)),
    "onnxruntime-genai": Entry("genai:Genai", ALL, ("onnxruntime-genai",)),
    "onnxruntime-genai, blocks of 128": Entry("genai:Genai128", ("int8", "int4"), ("onnxruntime-genai",)),
    "openvino": Entry("openvino_stateful:OpenVino", ALL, ("openvino", "nncf")),
    "llama.cpp": Entry("llama_cpp_gguf:LlamaCpp", ALL, ("llama-cpp-python", "gguf")),
}
