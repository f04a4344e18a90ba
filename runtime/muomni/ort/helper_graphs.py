"""Graphs of muomni's own for what a device does beside a model, written byte by byte: the runtime has no onnx package.

- Copying: one ``Pad`` a tensor, which cuts or fills the axis of positions. ``Pad`` with a negative count cuts, and with
  0 it is a plain copy. So a single graph copies a row, lets buffers grow, takes a part out and puts it back.
- The largest of each row: ``ArgMax``.
"""

from __future__ import annotations

from collections.abc import Iterable

IR_VERSION, OPSET = 8, 17
ELEMENT_TYPES = {"float32": 1, "float16": 10}
_FLOAT, _INT64 = 1, 7
PADS, VALUES, LARGEST = "pads", "values", "largest"


def copy_graph(tensors: int, dtype: str) -> bytes:
    """A serialised ModelProto: ``source.I`` (R, H, P, D) and ``pads`` (8,) to ``target.I`` (R, H, P + pads[6], D)."""
    element = ELEMENT_TYPES[dtype]
    nodes, inputs, outputs = [], [_value(PADS, _INT64, (8,))], []
    for index in range(tensors):
        source, target = f"source.{index}", f"target.{index}"
        nodes.append(_text(1, source) + _text(1, PADS) + _text(2, target) + _text(4, "Pad"))
        inputs.append(_value(source, element, ("R", "H", "P", "D")))
        outputs.append(_value(target, element, ("R", "H", "Q", "D")))
    return _model("copy rows", nodes, inputs, outputs)


def largest_graph() -> bytes:
    """A serialised ModelProto: ``values`` float32 (R, V) to ``largest`` int64 (R,), the first of equals."""
    # AttributeProto: name 1, i 3, type 20 (INT 2).
    attributes = [
        _text(1, name) + _number(3, value) + _number(20, 2) for name, value in (("axis", 1), ("keepdims", 0))
    ]
    node = _text(1, VALUES) + _text(2, LARGEST) + _text(4, "ArgMax") + b"".join(_all(5, attributes))
    inputs, outputs = [_value(VALUES, _FLOAT, ("R", "V"))], [_value(LARGEST, _INT64, ("R",))]
    return _model("largest", [node], inputs, outputs)


# ModelProto: ir_version 1, graph 7, opset_import 8; GraphProto: node 1, name 2, input 11, output 12; NodeProto: input
# 1, output 2, op_type 4, attribute 5.
def _model(name: str, nodes: list[bytes], inputs: list[bytes], outputs: list[bytes]) -> bytes:
    graph = b"".join([*_all(1, nodes), _text(2, name), *_all(11, inputs), *_all(12, outputs)])
    opset = _text(1, "") + _number(2, OPSET)
    return _number(1, IR_VERSION) + _field(7, graph) + _field(8, opset)


# ValueInfoProto: name 1, type 2; TypeProto: tensor_type 1; Tensor: elem_type 1, shape 2; TensorShapeProto: dim 1;
# Dimension: dim_value 1, dim_param 2 (onnx.proto3).
def _value(name: str, element: int, axes: Iterable[str | int]) -> bytes:
    dims = [_text(2, axis) if isinstance(axis, str) else _number(1, axis) for axis in axes]
    tensor = _number(1, element) + _field(2, b"".join(_all(1, dims)))
    return _text(1, name) + _field(2, _field(1, tensor))


def _all(field: int, values: Iterable[bytes]) -> list[bytes]:
    return [_field(field, value) for value in values]


def _text(field: int, text: str) -> bytes:
    return _field(field, text.encode())


def _field(field: int, value: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])
