"""Every node of every graph made for CUDA has a CUDA kernel, by ONNX Runtime's own table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto
from tests.export.cuda_kernels import kernels
from tests.export.text_talker_set import write_text_talker_set

from muomni.ort.helper_graphs import ELEMENT_TYPES, copy_graph, largest_graph
from muomni.ort.placement import SHAPE_OPERATORS
from muomni_export.export import export_bundle
from muomni_export.synthetic.checkpoint_set import write_random_set

CONTRIB = {  # ONNX has no schema of these: type variables of the inputs, and which of them the outputs have
    "com.microsoft.GroupQueryAttention": (
        ("T", "T", "T", "T_CACHE", "T_CACHE", "M", "M", "T", "T"),
        ("T", "T_CACHE", "T_CACHE"),
    ),
    "com.microsoft.MatMulNBits": (("T1", "T2", "T1", "T3"), ("T1",)),
    "com.microsoft.GatherBlockQuantized": (("T1", "Tind", "T2"), ("T2",)),
}
FROM_SHAPES = {"Shape", "Size"}
"""What begins a computation of shapes. ONNX Runtime leaves it, and what is computed from it alone, to the CPU."""


@dataclass(frozen=True)
class Node:
    """A node of a graph with the types of its type variables."""

    name: str
    operator: str
    since: int
    types: dict[str, str]
    of_shapes: bool
    """It computes integers from shapes alone."""


def type_name(element: int) -> str:
    return TensorProto.DataType.Name(element).lower()


def typed_nodes(model: onnx.ModelProto) -> Iterator[Node]:
    """The nodes of a graph in order, with the types that flow through it."""
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    graph = model.graph
    types = {value.name: type_name(value.type.tensor_type.elem_type) for value in graph.input}
    types |= {tensor.name: type_name(tensor.data_type) for tensor in graph.initializer}
    constant = {tensor.name for tensor in graph.initializer}
    shapes: set[str] = set()
    for node in graph.node:
        assert not any(a.type == onnx.AttributeProto.GRAPH for a in node.attribute), "no branches, no loops"
        operator = f"{node.domain}.{node.op_type}".lstrip(".")
        inputs, outputs, since = variables(node, operator, opset)
        bound: dict[str, str] = {}
        for name, variable in zip(node.input, inputs, strict=False):
            if name:
                assert bound.setdefault(variable, types[name]) == types[name], f"{node.name}: two types"
        made = made_type(node)
        for name, variable in zip(node.output, outputs, strict=False):
            types[name] = bound.setdefault(variable, only_type(node, variable, opset) or made or "?")
        varying = [name for name in node.input if name and name not in constant]
        of_shapes = node.op_type in FROM_SHAPES or (bool(varying) and set(varying) <= shapes)
        if not varying and node.op_type not in FROM_SHAPES:
            constant |= set(node.output)  # folded when the session is made
        if of_shapes and all(types[name] in ("int64", "int32", "bool") for name in node.output):
            shapes |= set(node.output)
        else:
            of_shapes = False
        yield Node(node.name or node.op_type, operator, since, bound, of_shapes)


def variables(node: onnx.NodeProto, operator: str, opset: int) -> tuple[list[str], list[str], int]:
    """Type variables of inputs and outputs, and the opset that last changed the operator."""
    if node.domain:
        inputs, outputs = CONTRIB[operator]
        return list(inputs), list(outputs), 1
    schema = onnx.defs.get_schema(node.op_type, opset)
    lists = []
    for formal, given in ((schema.inputs, node.input), (schema.outputs, node.output)):
        names = [parameter.type_str for parameter in formal]
        if formal and formal[-1].option == onnx.defs.OpSchema.FormalParameterOption.Variadic:
            names += names[-1:] * (len(given) - len(names))
        lists.append(names)
    return lists[0], lists[1], schema.since_version


def only_type(node: onnx.NodeProto, variable: str, opset: int) -> str | None:
    """What a type variable is where the operator leaves it no choice."""
    if node.domain:
        return None
    allowed = {
        c.type_param_str: c.allowed_type_strs
        for c in onnx.defs.get_schema(node.op_type, opset).type_constraints
    }
    names = allowed.get(variable, [variable])
    return names[0].removeprefix("tensor(").removesuffix(")") if len(names) == 1 else None


def made_type(node: onnx.NodeProto) -> str | None:
    """The type of an output that no input has."""
    for attribute in node.attribute:
        if attribute.name == "to":
            return type_name(attribute.i)
        if attribute.name == "value":
            return type_name(attribute.t.data_type)
    return None


def without_kernel(bundle: Path) -> list[str]:
    """Nodes of a bundle's graphs that CUDA has no kernel for, and that do not compute shapes."""
    found = []
    for file in sorted(bundle.glob("*.onnx")):
        found += [f"{file.stem}: {node}" for node in unknown_nodes(onnx.load(file, load_external_data=False))]
    return found


def unknown_nodes(model: onnx.ModelProto) -> list[str]:
    table = kernels()
    return [
        f"{node.operator}-{node.since} {node.types} ({node.name})"
        for node in typed_nodes(model)
        if not node.of_shapes
        and not any(kernel.takes(node.since, node.types) for kernel in table.get(node.operator, []))
    ]


def test_every_node_of_a_bundle_in_float16_has_a_kernel(cuda_bundle: Path) -> None:
    assert without_kernel(cuda_bundle) == []


def test_shapes_are_computed_with_operators_that_may_stay_on_the_cpu(cuda_bundle: Path) -> None:
    """None of them is named as a node that waits for the CPU when the graph is loaded on CUDA."""
    models = [onnx.load(file, load_external_data=False) for file in cuda_bundle.glob("*.onnx")]
    nodes = [node for model in models for node in typed_nodes(model)]
    used = {node.operator for node in nodes if node.of_shapes}
    assert used and used <= SHAPE_OPERATORS


def test_every_node_of_quantised_graphs_has_a_kernel(tmp_path: Path) -> None:
    """Experts and GELU; 8 bits and 4, also where float32 is the rule."""
    omni = write_random_set(tmp_path / "set", "micro", seed=3, experts=3, activation="gelu", gqa=False)
    precision = "int8,talker=int4,ocr=int4,vision=int8,audio=int4"
    bundle = export_bundle(omni, tmp_path / "bundle", precision=precision, device="cuda").folder
    assert without_kernel(bundle) == []
    for file in bundle.glob("*.onnx"):
        nodes = onnx.load(file, load_external_data=False).graph.node
        # What CUDA's kernel takes and computes otherwise than the CPU's: rows that do not end with a block.
        assert not any(node.op_type == "GatherBlockQuantized" for node in nodes), file.name
        assert all(len(node.input) == 3 for node in nodes if node.op_type == "MatMulNBits"), file.name


def test_every_node_that_reads_a_text_aloud_has_a_kernel(tmp_path: Path) -> None:
    """Phonemizer, context, a Talker that reads text, a spectral vocoder."""
    checkpoint = write_text_talker_set(tmp_path / "spoken")
    bundle = export_bundle(
        checkpoint, tmp_path / "bundle", precision="int4,letters=int8,context=fp16", device="cuda"
    )
    assert without_kernel(bundle.folder) == []


def test_what_muomni_does_with_memory_on_the_device_has_kernels(tmp_path: Path) -> None:
    """The graphs that are written byte by byte are what ONNX takes for graphs."""
    made = {dtype: copy_graph(3, dtype) for dtype in ELEMENT_TYPES} | {"largest": largest_graph()}
    for name, graph in made.items():
        onnx.checker.check_model(graph, full_check=True)
        (tmp_path / f"{name}.onnx").write_bytes(graph)
    models = [onnx.load(file) for file in tmp_path.glob("*.onnx")]
    assert sum(1 for model in models for _ in typed_nodes(model)) == 2 * 3 + 1
    assert without_kernel(tmp_path) == []


def test_attention_in_float32_has_none(tmp_path: Path) -> None:
    """The check finds what is wrong with a bundle for the CPU: its decoders' attention, and nothing else."""
    omni = write_random_set(tmp_path / "set", "micro", seed=3)
    bundle = export_bundle(omni.parent / "thinker_micro", tmp_path / "bundle").folder
    found = without_kernel(bundle)
    assert len(found) == 2 and all("GroupQueryAttention-1 {'T': 'float'" in node for node in found)


def test_shapes_that_may_stay_on_the_cpu_are_of_operators_that_have_kernels() -> None:
    """So where one of them computes with floats, CUDA takes it, and its name on the CPU means a shape."""
    table = kernels()
    for operator in SHAPE_OPERATORS - FROM_SHAPES:
        assert any("float" in t for kernel in table[operator] for t in kernel.types.values()), operator
