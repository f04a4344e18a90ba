"""The Thinker as the Llama architecture, which every peer knows: the same layout under other names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from muomni_export.modules.decoder import RMS_NORM_EPSILON

NAMES = {"tok_emb.": "model.embed_tokens.", "norm.": "model.norm.", "blocks.": "model.layers."}
PARTS = {".norm1.": ".input_layernorm.", ".norm2.": ".post_attention_layernorm.", ".attn.": ".self_attn."}


def hugging_face_name(name: str) -> str:
    """``blocks.0.attn.q.weight`` -> ``model.layers.0.self_attn.q_proj.weight``."""
    for ours, theirs in NAMES.items():
        if name.startswith(ours):
            name = theirs + name[len(ours) :]
    for ours, theirs in PARTS.items():
        name = name.replace(ours, theirs)
    for letter in "qkvo":
        name = name.replace(f"self_attn.{letter}.", f"self_attn.{letter}_proj.")
    return name


def llama(thinker: Any) -> Any:
    """A ``LlamaForCausalLM`` with the weights of a Thinker, in float32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = thinker.sizes.decoder
    config = LlamaConfig(
        vocab_size=thinker.sizes.vocabulary,
        hidden_size=sizes.width,
        intermediate_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        head_dim=sizes.head_size,
        max_position_embeddings=thinker.sizes.context_length,
        rms_norm_eps=RMS_NORM_EPSILON,
        rope_parameters={"rope_type": "default", "rope_theta": sizes.rope_theta},
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
    )
    model: Any = LlamaForCausalLM(config)
    model.load_state_dict({hugging_face_name(name): value for name, value in thinker.state_dict().items()})
    return model.eval().to(torch.float32)


def nominal_tokenizer(vocabulary: int) -> Any:
    """A tokenizer of the right size, for tools that refuse a model without one; nothing is tokenized with it."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"<{i}>": i for i in range(3, vocabulary)}}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    make: Any = PreTrainedTokenizerFast
    return make(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def nominal_tokenizer_of(file: Path) -> Any:
    """One with the words of a SentencePiece model, for tools that ask for a tokenizer and are given ids."""
    from sentencepiece import SentencePieceProcessor
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    pieces = SentencePieceProcessor(model_file=str(file))
    words = {pieces.id_to_piece(index): index for index in range(pieces.get_piece_size())}
    make: Any = PreTrainedTokenizerFast
    return make(
        tokenizer_object=Tokenizer(BPE(words, [], unk_token="<unk>")),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
    )
