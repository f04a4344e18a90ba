"""The model that everything is measured on: a random Thinker, the same weights in every format."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRECISIONS = ("fp32", "int8", "int4")
PROMPT_TOKENS = 64
NEW_TOKENS = 256


def in_new_folder(target: Path, make: Callable[[Path], None]) -> Path:
    """Let ``make`` fill a folder that gets its name when it is complete; one that is there is kept."""
    if not target.exists():
        partial = target.with_name(target.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.rename(target)
    return target


@dataclass(frozen=True)
class Work:
    """Files of one size of model below a folder; each is made when it is first asked for."""

    folder: Path
    size: str = "tiny"

    @property
    def root(self) -> Path:
        """What is made of this size of model."""
        return self.folder / self.size

    def checkpoint(self) -> Path:
        """A checkpoint set with a Thinker alone."""
        root = self.root / "set"
        if not root.exists():
            from muomni_export.synthetic.checkpoint_set import write_random_set

            write_random_set(root, self.size, without=("vision", "audio", "talker"))
        return root / "checkpoints" / f"omni_sft_{self.size}"

    def bundle(self, precision: str, draft_head: bool = False, device: str = "cpu") -> Path:
        """What ``muomni-export`` makes of it."""
        kind = precision if device == "cpu" else f"{precision}-{device}"
        target = self.root / (f"{kind}-draft" if draft_head else kind)
        if not target.exists():
            from muomni_export.export import export_bundle

            print(f"exporting {self.size} {kind}", file=sys.stderr)
            export_bundle(
                self.checkpoint(), target, precision=precision, draft_head=draft_head, device=device
            )
        return target

    def tokenizer(self) -> Path:
        """Its SentencePiece model."""
        self.checkpoint()
        return self.root / "set" / "checkpoints" / f"thinker_{self.size}" / "tokenizer.model"

    def chat_gguf(self, precision: str) -> Path:
        """What llama.cpp's servers load: the weights with the tokenizer."""

        def make(target: Path) -> None:
            from gguf_file import write_gguf

            write_gguf(self.thinker(), target / "model.gguf", precision, self.tokenizer())

        return in_new_folder(self.root / f"chat-gguf-{precision}", make) / "model.gguf"

    def thinker(self) -> Any:
        """The torch module."""
        from muomni_export.checkpoint.checkpoint_set import read_checkpoint
        from muomni_export.checkpoint.load import load_modules

        return load_modules(read_checkpoint(self.checkpoint())).thinker

    def llama_folder(self) -> Path:
        """The same weights as a ``LlamaForCausalLM``, saved as Hugging Face does."""

        def make(target: Path) -> None:
            from llama_form import llama, nominal_tokenizer

            model = llama(self.thinker())
            model.save_pretrained(target)
            nominal_tokenizer(model.config.vocab_size).save_pretrained(target)

        return in_new_folder(self.root / "llama", make)
