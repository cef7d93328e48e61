"""The part of onnx.proto that is needed here, declared without the onnx package.

By field number (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); protobuf keeps the fields that it does not
know.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FLOAT, UINT8, INT8, INT64, FLOAT16 = 1, 2, 3, 7, 10  # TensorProto.DataType
EXTERNAL = 1  # TensorProto.DataLocation
INT, STRING, INTS = 2, 3, 7  # AttributeProto.AttributeType; FLOAT is 1 there as well

DTYPES: dict[int, np.dtype[Any]] = {  # by TensorProto.DataType
    FLOAT: np.dtype(np.float32),
    UINT8: np.dtype(np.uint8),
    INT8: np.dtype(np.int8),
    6: np.dtype(np.int32),
    INT64: np.dtype(np.int64),
    9: np.dtype(np.bool_),
    FLOAT16: np.dtype(np.float16),
    11: np.dtype(np.float64),
}
# TensorProto.DataType by the name that safetensors gives the type
ONNX_TYPES = {
    "F32": FLOAT,
    "U8": 2,
    "I8": INT8,
    "I16": 5,
    "I32": 6,
    "I64": INT64,
    "BOOL": 9,
    "F16": FLOAT16,
    "F64": 11,
    "BF16": 16,
    "F8_E4M3": 17,
    "F8_E5M2": 19,
}

_FIELD = descriptor_pb2.FieldDescriptorProto
_INT32, _INT64, _STRING, _BYTES = _FIELD.TYPE_INT32, _FIELD.TYPE_INT64, _FIELD.TYPE_STRING, _FIELD.TYPE_BYTES
_FLOAT, _DOUBLE = _FIELD.TYPE_FLOAT, _FIELD.TYPE_DOUBLE
# message -> field -> (number, repeated, type or message name)
SCHEMA: dict[str, dict[str, tuple[int, bool, int | str]]] = {
    "StringStringEntry": {"key": (1, False, _STRING), "value": (2, False, _STRING)},
    "Tensor": {
        "dims": (1, True, _INT64),
        "data_type": (2, False, _INT32),
        "float_data": (4, True, _FLOAT),
        "int32_data": (5, True, _INT32),
        "int64_data": (7, True, _INT64),
        "name": (8, False, _STRING),
        "raw_data": (9, False, _BYTES),
        "double_data": (10, True, _DOUBLE),
        "external_data": (13, True, "StringStringEntry"),
        "data_location": (14, False, _INT32),
    },
    "SparseTensor": {"values": (1, False, "Tensor"), "indices": (2, False, "Tensor")},
    "Attribute": {
        "name": (1, False, _STRING),
        "f": (2, False, _FLOAT),
        "i": (3, False, _INT64),
        "s": (4, False, _BYTES),
        "t": (5, False, "Tensor"),
        "g": (6, False, "Graph"),
        "floats": (7, True, _FLOAT),
        "ints": (8, True, _INT64),
        "tensors": (10, True, "Tensor"),
        "graphs": (11, True, "Graph"),
        "type": (20, False, _INT32),
        "sparse_tensor": (22, False, "SparseTensor"),
        "sparse_tensors": (23, True, "SparseTensor"),
    },
    "Node": {
        "input": (1, True, _STRING),
        "output": (2, True, _STRING),
        "name": (3, False, _STRING),
        "op_type": (4, False, _STRING),
        "attribute": (5, True, "Attribute"),
        "domain": (7, False, _STRING),
    },
    "Dimension": {"dim_value": (1, False, _INT64), "dim_param": (2, False, _STRING)},
    "Shape": {"dim": (1, True, "Dimension")},
    "TensorType": {"elem_type": (1, False, _INT32), "shape": (2, False, "Shape")},
    "Type": {"tensor_type": (1, False, "TensorType")},
    "ValueInfo": {"name": (1, False, _STRING), "type": (2, False, "Type")},
    "Graph": {
        "node": (1, True, "Node"),
        "name": (2, False, _STRING),
        "initializer": (5, True, "Tensor"),
        "input": (11, True, "ValueInfo"),
        "output": (12, True, "ValueInfo"),
        "value_info": (13, True, "ValueInfo"),
        "sparse_initializer": (15, True, "SparseTensor"),
    },
    "Function": {"name": (1, False, _STRING), "node": (7, True, "Node"), "domain": (10, False, _STRING)},
    "OperatorSet": {"domain": (1, False, _STRING), "version": (2, False, _INT64)},
    "Model": {
        "ir_version": (1, False, _INT64),
        "producer_name": (2, False, _STRING),
        "graph": (7, False, "Graph"),
        "opset_import": (8, True, "OperatorSet"),
        "functions": (25, True, "Function"),
    },
}


def _model_class() -> Callable[..., Any]:
    file = descriptor_pb2.FileDescriptorProto(name="latentrt/onnx_subset.proto", package="latentrt.onnx")
    for name, fields in SCHEMA.items():
        descriptor = file.message_type.add(name=name)
        for field_name, (number, repeated, kind) in fields.items():
            item = descriptor.field.add(name=field_name, number=number)
            item.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            if isinstance(kind, str):
                item.type, item.type_name = _FIELD.TYPE_MESSAGE, f".latentrt.onnx.{kind}"
            else:
                item.type = kind  # type: ignore[assignment]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("latentrt.onnx.Model"))


ModelProto = _model_class()
