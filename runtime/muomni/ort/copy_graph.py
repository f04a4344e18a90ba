"""The graph that copies rows of a device's key/value cache, written byte by byte: the runtime has no onnx package.

It has one ``Pad`` a tensor, which cuts or fills the axis of positions: ``Pad`` with a negative count cuts, and with
0 it is a plain copy. So a single graph copies a row, lets buffers grow, takes a part out and puts it back.
"""

from __future__ import annotations

from collections.abc import Iterable

IR_VERSION, OPSET = 8, 17
ELEMENT_TYPES = {"float32": 1, "float16": 10}
_INT64 = 7
PADS = "pads"


def copy_graph(tensors: int, dtype: str) -> bytes:
    """A serialised ModelProto: ``source.I`` (R, H, P, D) and ``pads`` (8,) to ``target.I`` (R, H, P + pads[6], D)."""
    element = ELEMENT_TYPES[dtype]
    nodes, inputs, outputs = [], [_value(PADS, _INT64, (8,))], []
    for index in range(tensors):
        source, target = f"source.{index}", f"target.{index}"
        nodes.append(_text(1, source) + _text(1, PADS) + _text(2, target) + _text(4, "Pad"))
        inputs.append(_value(source, element, ("R", "H", "P", "D")))
        outputs.append(_value(target, element, ("R", "H", "Q", "D")))
    graph = b"".join(
        [*(_field(1, node) for node in nodes), _text(2, "copy rows"), *_all(11, inputs), *_all(12, outputs)]
    )
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
