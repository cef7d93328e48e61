"""Small ONNX graphs for tests, made without the onnx package, and ONNX Runtime's own shapes to hold ours to."""

import math

import numpy as np
import onnxruntime as ort

from latentrt.networks import Graph
from latentrt.networks.proto import DTYPES, ModelProto

TYPES = {dtype: number for number, dtype in DTYPES.items()}


def build(nodes, inputs, constants=None, outputs=None, opset=20) -> Graph:
    """Build a graph.

    Args:
        nodes: (operator, inputs, outputs, attributes), names apart by spaces, "-" for one that is left out.
        inputs: name -> (dtype, shape).
        constants: name -> array, or (dtype, shape) for an external initializer.
        outputs: names; those of the last node if not given.
    """
    model = ModelProto(ir_version=9)
    model.opset_import.add(version=opset)
    body = model.graph
    for name, (dtype, shape) in inputs.items():
        value = body.input.add(name=name)
        value.type.tensor_type.elem_type = TYPES[np.dtype(dtype)]
        value.type.tensor_type.shape.SetInParent()
        for size in shape:
            value.type.tensor_type.shape.dim.add(
                **{"dim_value" if isinstance(size, int) else "dim_param": size}
            )
    for name, array in (constants or {}).items():
        tensor(body.initializer.add(name=name), array)
    for operator, reads, writes, attributes in nodes:
        node = body.node.add(op_type=operator, output=writes.split())
        node.input.extend("" if name == "-" else name for name in reads.split())
        for name, given in attributes.items():
            attribute(node.attribute.add(name=name), given)
    for name in outputs if outputs is not None else nodes[-1][2].split():
        body.output.add(name=name)
    return Graph.parse(model.SerializeToString(), "small")


def tensor(proto, array) -> None:
    if isinstance(array, tuple):
        dtype, shape = array
        proto.data_location = 1
        proto.external_data.add(key="location", value="weights")
    else:
        array = np.asarray(array)
        dtype, shape, proto.raw_data = array.dtype, array.shape, array.tobytes()
    proto.data_type = TYPES[np.dtype(dtype)]
    proto.dims.extend(shape)


def attribute(proto, given) -> None:
    if isinstance(given, np.ndarray):
        tensor(proto.t, given)
        proto.type = 4
    elif isinstance(given, list):
        kind, proto.type = ("floats", 6) if isinstance(given[0], float) else ("ints", 7)
        getattr(proto, kind).extend(given)
    elif isinstance(given, str):
        proto.s, proto.type = given.encode(), 3
    elif isinstance(given, float):
        proto.f, proto.type = given, 1
    else:
        proto.i, proto.type = given, 2


def run(model: Graph, feeds):
    """Every value that a node makes, by name, as ONNX Runtime computes it; external weights are random."""
    model = Graph.parse(model.serialize(), model.name)
    body = model.proto.graph
    rng = np.random.default_rng(0)
    for item in body.initializer:
        if item.data_location == 1:
            dtype = DTYPES[item.data_type]
            item.raw_data = rng.normal(0, 0.02, math.prod(item.dims)).astype(dtype).tobytes()
            del item.external_data[:]
            item.ClearField("data_location")
    made = [name for node in body.node for name in node.output if name]
    del body.output[:]
    for name in made:
        body.output.add(name=name)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.serialize(), options, providers=["CPUExecutionProvider"])
    return dict(zip(made, session.run(made, feeds), strict=True))
