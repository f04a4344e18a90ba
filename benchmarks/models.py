"""The model that everything is measured on: a random Thinker, the same weights in every format."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRECISIONS = ("fp32", "int8", "int4")


@dataclass(frozen=True)
class Work:
    """Files of one size of model below a folder; each is made when it is first asked for."""

    folder: Path
    size: str = "tiny"

    @property
    def checkpoint(self) -> Path:
        """A checkpoint set with a Thinker alone."""
        root = self.folder / self.size / "set"
        if not root.exists():
            from muomni_export.random_set import write_random_set

            write_random_set(root, self.size, with_vision=False, with_audio=False, with_talker=False)
        return root / "checkpoints" / f"omni_sft_{self.size}"

    def bundle(self, precision: str) -> Path:
        target = self.folder / self.size / precision
        if not target.exists():
            from muomni_export.export import export_bundle

            print(f"exporting {target.name}", file=sys.stderr)
            export_bundle(self.checkpoint, target, precision=precision)
        return target

    def thinker(self) -> Any:
        """The torch module."""
        from muomni_export.checkpoints import read_checkpoint
        from muomni_export.loading import load_modules

        return load_modules(read_checkpoint(self.checkpoint)).thinker

    def llama(self) -> Any:
        """A ``LlamaForCausalLM`` with the same weights, whose layout is ours with other names."""
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        thinker = self.thinker()
        sizes = thinker.sizes.decoder
        config = LlamaConfig(
            vocab_size=thinker.sizes.vocabulary,
            hidden_size=sizes.width,
            intermediate_size=sizes.hidden,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.kv_heads,
            max_position_embeddings=thinker.sizes.context_length,
            rms_norm_eps=1e-5,
            tie_word_embeddings=False,
            bos_token_id=1,
            eos_token_id=2,
        )
        names = {
            "tok_emb.": "model.embed_tokens.", "norm.": "model.norm.", "lm_head.": "lm_head.",
            ".norm1.": ".input_layernorm.", ".norm2.": ".post_attention_layernorm.",
            ".attn.": ".self_attn.", "blocks.": "model.layers.",
        }  # fmt: skip
        state = {}
        for name, tensor in thinker.state_dict().items():
            new = name
            for ours, theirs in names.items():
                if ours.startswith("."):
                    new = new.replace(ours, theirs)
                elif new.startswith(ours):
                    new = theirs + new[len(ours) :]
            for letter in "qkvo":
                new = new.replace(f"self_attn.{letter}.", f"self_attn.{letter}_proj.")
            state[new] = tensor
        model = LlamaForCausalLM(config)
        model.load_state_dict(state)
        return model.eval().to(torch.float32)

    def llama_folder(self) -> Path:
        """The same, saved as Hugging Face does."""
        target = self.folder / self.size / "llama"
        if not (target / "config.json").exists():
            self.llama().save_pretrained(target)
        return target

    def genai_folder(self, precision: str) -> Path:
        """An onnxruntime-genai model, made by its own builder, without a tokenizer (ids go in and out)."""
        target = self.folder / self.size / f"genai-{precision}"
        if not (target / "genai_config.json").exists():
            from onnxruntime_genai.models import builder

            builder.create_model(
                None, str(self.llama_folder()), str(target), precision, "cpu", str(self.folder / "cache"),
                **({"int4_accuracy_level": "4", "int4_block_size": "32"} if precision == "int4" else {}),
            )  # fmt: skip
            config = json.loads((target / "genai_config.json").read_text())
            (target / "genai_config.json").write_text(json.dumps(config, indent=1))
        return target
