"""Small ONNX models for tests, made without the onnx package."""

import numpy as np

from latentrt.networks.proto import DTYPES, ModelProto

TYPES = {dtype: number for number, dtype in DTYPES.items()}


def attribute(node, name, kind, **fields):
    """`kind` is AttributeProto.type: 2 int, 7 ints. Field 20 is not in our subset, so it is spliced in as bytes."""
    item = node.attribute.add(name=name, **fields)
    item.MergeFromString(bytes([20 << 3 & 0x7F | 0x80, 1, kind]))


def value(proto, name, dtype, shape):
    proto.name = name
    proto.type.tensor_type.elem_type = TYPES[np.dtype(dtype)]
    proto.type.tensor_type.shape.SetInParent()
    for size in shape:
        proto.type.tensor_type.shape.dim.add(**{"dim_value" if isinstance(size, int) else "dim_param": size})


def linear(dtype="fp32", cast=True):
    """y = x · weightᵀ + bias, x (batch, 3), weight fp16 (2, 3) external, as the exporter writes it."""
    model = ModelProto(ir_version=10)
    model.opset_import.add(version=20)
    g = model.graph
    compute = np.float32 if dtype == "fp32" else np.float16
    value(g.input.add(), "x", compute, ("batch", 3))
    value(g.output.add(), "y", compute, ("batch", 2))
    for name, shape in (("fc.weight", (2, 3)), ("fc.bias", (2,))):
        tensor = g.initializer.add(
            name=name, data_type=TYPES[np.dtype(np.float16)], dims=shape, data_location=1
        )
        tensor.external_data.add(key="location", value="weights")
        if cast and dtype == "fp32":
            node = g.node.add(op_type="Cast", input=[name], output=[name + ".cast"])
            attribute(node, "to", 2, i=TYPES[np.dtype(np.float32)])
    suffix = ".cast" if cast and dtype == "fp32" else ""
    node = g.node.add(op_type="Transpose", input=["fc.weight" + suffix], output=["fc.weight.t"])
    attribute(node, "perm", 7, ints=[1, 0])
    g.node.add(op_type="MatMul", input=["x", "fc.weight.t"], output=["product"])
    g.node.add(op_type="Add", input=["product", "fc.bias" + suffix], output=["y"])
    return model
