"""The type of the key/value cache is the graph's: a real session, whose graph adds 1 to its cache at each step."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from muomni.bundle.contract import graph_contracts
from muomni.bundle.manifest import Manifest, ThinkerStage
from muomni.errors import GraphError
from muomni.ort.decoder import Decoder
from muomni.ort.session import GraphSession
from muomni.ort.threads import SessionThreads

TYPES = {"float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT}


def stage(cache_dtype: Any) -> ThinkerStage:
    return ThinkerStage("thinker", 4, 1, 1, 1, 8, 1, 16, cache_dtype=cache_dtype)


def graph(cache_dtype: str, path: Path) -> Path:
    cache = TYPES[cache_dtype]
    parts = ("key", "value")
    nodes = [helper.make_node("Add", [f"past.0.{part}", "one"], [f"present.0.{part}"]) for part in parts]
    nodes += [
        helper.make_node("ReduceMax", ["past.0.key", "axes"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["logits"], to=TensorProto.FLOAT),
    ]
    shape = ["B", 1, "P", 8]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "counting",
            [
                helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["B", "S"]),
                helper.make_tensor_value_info("media_embeds", TensorProto.FLOAT, ["B", "M", 4]),
                helper.make_tensor_value_info("seqlens_k", TensorProto.INT32, ["B"]),
                helper.make_tensor_value_info("total_sequence_length", TensorProto.INT32, []),
                *(helper.make_tensor_value_info(f"past.0.{part}", cache, shape) for part in parts),
            ],
            [
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 1]),
                *(helper.make_tensor_value_info(f"present.0.{part}", cache, shape) for part in parts),
            ],
            [
                helper.make_tensor("one", cache, [], [1.0]),
                helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )
    onnx.save(model, path)
    return path


def session(file: Path, cache_dtype: str) -> GraphSession:
    parts = dict.fromkeys(("vision", "audio", "talker", "codec", "vocoder", "ocr"))
    manifest = cast(Manifest, SimpleNamespace(thinker=stage(cache_dtype), **parts))
    return GraphSession(file, graph_contracts(manifest)["thinker"], "cpu", SessionThreads(1, 0))


@pytest.mark.parametrize("cache_dtype", ["float16", "float32"])
def test_a_cache_of_the_graphs_type_is_kept_from_step_to_step(cache_dtype: str, tmp_path: Path) -> None:
    made = session(graph(cache_dtype, tmp_path / "thinker.onnx"), cache_dtype)
    decoder = Decoder("Thinker", made, stage(cache_dtype))
    cache = decoder.start(2)
    feeds = {"input_ids": np.zeros((2, 1), np.int64), "media_embeds": np.zeros((2, 0, 4), np.float32)}
    seen = [decoder.feed(cache, 1, feeds)["logits"][:, 0].tolist() for _ in range(3)]
    assert seen == [[0, 0], [1, 1], [2, 2]]
    assert {buffer.dtype for buffer in cache.tensors(0, 2)} == {np.dtype(cache_dtype)}
    assert {buffer.dtype for buffer in cache.taken([1]).tensors(0, 1)} == {np.dtype(cache_dtype)}


@pytest.mark.parametrize(("said", "is_so"), [("float16", "float32"), ("float32", "float16")])
def test_a_cache_of_another_type_than_the_manifest_says_is_refused(
    said: str, is_so: str, tmp_path: Path
) -> None:
    with pytest.raises(GraphError, match=rf"past\.0\.key: {said} .*, got past\.0\.key: {is_so}"):
        session(graph(is_so, tmp_path / "thinker.onnx"), said)
