"""The Thinker as a GGUF file of the llama architecture, for llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muomni_export.modules.decoder import RMS_NORM_EPSILON

LAYER_PARTS = {
    "norm1": "attn_norm",
    "norm2": "ffn_norm",
    "attn.q": "attn_q",
    "attn.k": "attn_k",
    "attn.v": "attn_v",
    "attn.o": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TOP_PARTS = {"tok_emb": "token_embd", "norm": "output_norm", "lm_head": "output"}
FILE_TYPES = {"fp32": 0, "int8": 7, "int4": 2}
TYPES = {"fp32": "F32", "int8": "Q8_0", "int4": "Q4_0"}


def gguf_name(name: str) -> str:
    """``blocks.0.attn.q.weight`` -> ``blk.0.attn_q.weight``."""
    stem, _, kind = name.rpartition(".")
    if stem in TOP_PARTS:
        return f"{TOP_PARTS[stem]}.{kind}"
    _, layer, part = stem.split(".", 2)
    return f"blk.{layer}.{LAYER_PARTS[part]}.{kind}"


def interleave_rotary(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of a query or key projection, from halves (ours) to neighbouring pairs (llama.cpp's llama)."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


def add_tokenizer(writer: Any, file: Path) -> None:
    """A SentencePiece model's pieces, for servers that take text."""
    import gguf
    from sentencepiece import SentencePieceProcessor

    model = SentencePieceProcessor(model_file=str(file))
    kinds = gguf.TokenType

    def kind(index: int) -> int:
        if model.is_unknown(index):
            return int(kinds.UNKNOWN)
        if model.is_control(index):
            return int(kinds.CONTROL)
        return int(kinds.BYTE if model.is_byte(index) else kinds.NORMAL)

    every = range(model.get_piece_size())
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([model.id_to_piece(index).encode() for index in every])
    writer.add_token_scores([model.get_score(index) for index in every])
    writer.add_token_types([kind(index) for index in every])
    writer.add_bos_token_id(model.bos_id())
    writer.add_eos_token_id(model.eos_id())
    writer.add_unk_token_id(model.unk_id())
    writer.add_chat_template("{{ messages[0].content }}")


def write_gguf(thinker: Any, file: Path, precision: str, tokenizer: Path | None = None) -> None:
    """Write all matrices in Q8_0 or Q4_0 (blocks of 32) or float32; norms stay float32.

    Args:
        tokenizer: a SentencePiece model; None where ids go in and out.
    """
    import gguf

    sizes = thinker.sizes.decoder
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(thinker.sizes.context_length)
    writer.add_embedding_length(sizes.width)
    writer.add_block_count(sizes.layers)
    writer.add_feed_forward_length(sizes.hidden)
    writer.add_head_count(sizes.heads)
    writer.add_head_count_kv(sizes.kv_heads)
    writer.add_rope_dimension_count(sizes.head_size)
    writer.add_rope_freq_base(sizes.rope_theta)
    writer.add_layer_norm_rms_eps(RMS_NORM_EPSILON)
    writer.add_vocab_size(thinker.sizes.vocabulary)
    if tokenizer is None:
        writer.add_tokenizer_model("none")
    else:
        add_tokenizer(writer, tokenizer)
    kind = gguf.GGMLQuantizationType[TYPES[precision]]
    writer.add_file_type(FILE_TYPES[precision])  # OpenVINO asks
    for name, tensor in thinker.state_dict().items():
        array = tensor.float().numpy()
        if name.endswith((".attn.q.weight", ".attn.k.weight")):
            array = interleave_rotary(array, sizes.heads if ".q." in name else sizes.kv_heads)
        if array.ndim == 2 and precision != "fp32":
            writer.add_tensor(gguf_name(name), gguf.quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(gguf_name(name), array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
