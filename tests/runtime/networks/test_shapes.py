"""Shapes that are told without running a graph are those that ONNX Runtime gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import build, run

from latentrt.errors import GraphError, InputError
from latentrt.models.bundle import open_model
from latentrt.models.published import TAESD
from latentrt.networks import Variant
from latentrt.networks import build as build_network
from latentrt.networks.cost.operators import RULES
from latentrt.networks.cost.shapes import infer

F, I, B = np.float32, np.int64, np.bool_  # noqa: E741
X = (F, (2, 6, 5, 7))
UNARY = "Abs Acos Acosh Asin Asinh Atan Atanh Celu Ceil Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish Hardmax "
UNARY += "LRN LeakyRelu Log LogSoftmax LpNormalization MeanVarianceNormalization Mish Neg Reciprocal Relu Round Selu "
UNARY += "Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Identity IsInf IsNaN Dropout"
BINARY = "Add Sub Mul Div Pow Max Min Mean Sum Equal Greater GreaterOrEqual Less LessOrEqual"
REDUCTIONS = (
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
)
REDUCTIONS += "ReduceSumSquare"
NOT_HERE = {  # what this onnxruntime has no kernel for on the CPU
    "RMSNormalization",
    "Swish",
}


def ints(*values):
    return np.array(values, np.int64)


# operator, what is computed at run time, constants, attributes, opset
CASES = [
    *((name, [X], [], {"size": 3} if name == "LRN" else {}, 20) for name in UNARY.split()),
    *((name, [X, (F, (6, 1, 7))], [], {}, 20) for name in BINARY.split()),
    *((name, [X], [ints(1, -1)], {}, 18 if name != "ReduceSum" else 20) for name in REDUCTIONS.split()),
    ("ReduceMean", [X], [], {"axes": [1, -1], "keepdims": 0}, 13),
    ("ReduceMean", [X], [], {}, 18),
    ("ReduceMax", [X], [], {"noop_with_empty_axes": 1}, 18),
    *((name, [(B, (3, 1)), (B, (4,))], [], {}, 20) for name in ("And", "Or", "Xor")),
    *((name, [(I, (3, 1)), (I, (4,))], [], {}, 20) for name in ("BitwiseAnd", "BitwiseOr")),
    ("Mod", [(I, (3, 1))], [ints(2)], {}, 20),
    ("Not", [(B, (3, 1))], [], {}, 20),
    ("BitwiseNot", [(I, (3, 1))], [], {}, 20),
    ("ArgMax", [X], [], {"axis": -2}, 20),
    ("ArgMin", [X], [], {"axis": 1, "keepdims": 0}, 20),
    (
        "AveragePool",
        [X],
        [],
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [0, 1, 0, 1]},
        20,
    ),
    ("MaxPool", [X], [], {"kernel_shape": [2, 3], "strides": [2, 1], "dilations": [2, 1]}, 20),
    ("MaxPool", [X], [], {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}, 20),
    ("GlobalAveragePool", [X], [], {}, 20),
    ("GlobalMaxPool", [X], [], {}, 20),
    ("BatchNormalization", [X], [np.ones(6, F)] * 4, {}, 20),
    ("InstanceNormalization", [X], [np.ones(6, F)] * 2, {}, 20),
    ("GroupNormalization", [X], [np.ones(6, F)] * 2, {"num_groups": 3}, 21),
    ("LayerNormalization", [X], [np.ones(7, F)] * 2, {"axis": -1}, 20),
    ("PRelu", [X], [np.ones((6, 1, 1), F)], {}, 20),
    ("Clip", [X], [F(0), F(1)], {}, 20),
    ("CumSum", [X], [np.int64(1)], {}, 20),
    ("Trilu", [(F, (2, 5, 5))], [], {}, 20),
    ("Cast", [X], [], {"to": 10}, 20),
    ("CastLike", [X, (I, (1,))], [], {}, 20),
    ("Concat", [X, X], [], {"axis": -2}, 20),
    ("Constant", [], [], {"value": np.ones((2, 3), F)}, 20),
    ("Constant", [], [], {"value_ints": [1, 2, 3]}, 20),
    ("Constant", [], [], {"value_float": 0.5}, 20),
    ("ConstantOfShape", [], [ints(2, 3)], {"value": ints(7)}, 20),
    ("Conv", [X], [np.ones((4, 3, 3, 2), F)], {"group": 2, "strides": [2, 1], "pads": [1, 0, 0, 2]}, 20),
    ("Conv", [X], [np.ones((4, 6, 2, 2), F), np.ones(4, F)], {"dilations": [2, 3]}, 20),
    ("Conv", [X], [np.ones((4, 6, 3, 3), F)], {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, 20),
    ("Conv", [(F, (1, 3, 9))], [np.ones((5, 3, 4), F)], {"auto_pad": "VALID"}, 20),
    (
        "ConvTranspose",
        [X],
        [np.ones((6, 4, 3, 3), F)],
        {"group": 2, "strides": [2, 3], "pads": [1, 0, 0, 1], "output_padding": [1, 2]},
        20,
    ),
    ("DepthToSpace", [(F, (2, 8, 3, 5))], [], {"blocksize": 2}, 20),
    ("SpaceToDepth", [(F, (2, 3, 4, 6))], [], {"blocksize": 2}, 20),
    ("DynamicQuantizeLinear", [X], [], {}, 20),
    ("Einsum", [(F, (2, 3, 4)), (F, (2, 5, 4))], [], {"equation": "bid, bjd -> bij"}, 20),
    ("Expand", [(F, (3, 1))], [ints(2, 1, 6)], {}, 20),
    ("Flatten", [X], [], {"axis": 2}, 20),
    ("Flatten", [X], [], {"axis": -1}, 20),
    ("Gather", [X], [ints(0, 3)], {"axis": 1}, 20),
    ("Gather", [X], [np.int64(-1)], {}, 20),
    ("GatherElements", [X], [np.zeros((2, 6, 5, 3), I)], {"axis": 3}, 20),
    ("GatherND", [X], [np.zeros((2, 3, 1), I)], {"batch_dims": 1}, 20),
    ("Gemm", [(F, (3, 4)), (F, (5, 4))], [], {"transB": 1}, 20),
    ("Gemm", [(F, (4, 3))], [np.ones((4, 5), F), np.ones(5, F)], {"transA": 1}, 20),
    ("MatMul", [(F, (2, 1, 3, 4)), (F, (5, 4, 6))], [], {}, 20),
    ("MatMul", [(F, (4,)), (F, (5, 4, 6))], [], {}, 20),
    ("MatMul", [(F, (5, 3, 4)), (F, (4,))], [], {}, 20),
    ("MatMul", [(F, (4,)), (F, (4,))], [], {}, 20),
    ("NonZero", [], [ints(0, 3, 0, 5)], {}, 20),
    ("OneHot", [(I, (2, 3))], [np.int64(4), np.array([0, 1], F)], {"axis": 1}, 20),
    ("Pad", [X], [ints(0, 0, 1, 2, 0, 0, -1, 3)], {}, 20),
    ("Pad", [X], [ints(1, 2), F(0), ints(-1)], {}, 20),
    ("Range", [], [np.int64(2), np.int64(11), np.int64(3)], {}, 20),
    ("Range", [], [F(1), F(0), F(-0.3)], {}, 20),
    ("Reshape", [X], [ints(0, -1, 7)], {}, 20),
    ("Reshape", [(F, (0, 4))], [ints(4, 0)], {"allowzero": 1}, 20),
    ("Resize", [X], ["", np.array([1, 1, 2, 1.7], F)], {}, 20),
    ("Resize", [X], ["", "", ints(2, 6, 3, 11)], {}, 20),
    ("Resize", [X], ["", "", ints(3, 11)], {"axes": [2, 3]}, 20),
    ("Resize", [X], [np.array([1, 1, 0.5, 0.5], F)], {}, 10),
    ("Upsample", [X], [np.array([1, 1, 2, 2], F)], {}, 9),
    ("ScatterElements", [(F, (3, 4))], [np.zeros((1, 2), I), np.ones((1, 2), F)], {}, 20),
    ("ScatterND", [(F, (3, 4))], [np.zeros((2, 1), I), np.ones((2, 4), F)], {}, 20),
    ("Shape", [X], [], {"start": 1, "end": -1}, 20),
    ("Size", [X], [], {}, 20),
    ("Slice", [X], [ints(1, -1), ints(2**62, -(2**62)), ints(1, -1), ints(2, -2)], {}, 20),
    ("Slice", [X], [], {"starts": [1, 0], "ends": [3, -1], "axes": [2, 3]}, 9),
    ("Split", [X], [ints(1, 3, 2)], {"axis": 1}, 20),
    ("Split", [X], [], {"axis": -1, "num_outputs": 3}, 20),
    ("Split", [X], [], {"axis": 1}, 13),
    ("Squeeze", [(F, (1, 3, 1))], [ints(-1)], {}, 20),
    ("Squeeze", [(F, (1, 3, 1))], [], {}, 20),
    ("Squeeze", [(F, (1, 3, 1))], [], {"axes": [0]}, 11),
    ("Unsqueeze", [X], [ints(-1, 0)], {}, 20),
    ("Unsqueeze", [X], [], {"axes": [1]}, 11),
    ("Tile", [X], [ints(1, 2, 1, 3)], {}, 20),
    ("TopK", [X], [ints(3)], {"axis": 1}, 20),
    ("Transpose", [X], [], {"perm": [0, 2, 3, 1]}, 20),
    ("Transpose", [X], [], {}, 20),
    ("Where", [(B, (6, 1, 1)), X], [F(0)], {}, 20),
]


def name_of(case):
    return f"{case[0]}-{case[4]}"


def drawn(shape, dtype):
    return np.random.default_rng(0).integers(-5, 6, shape).astype(dtype)


@pytest.mark.parametrize("in_graph", [False, True], ids=["at run time", "in the graph"])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_operator_gives_the_shape_type_and_data_of_onnx_runtime(case, in_graph):
    operator, runtime, constants, attributes, opset = case
    inputs = {f"x{i}": spec for i, spec in enumerate(runtime)}
    feeds = {name: drawn(shape, dtype) for name, (dtype, shape) in inputs.items()}
    if operator == "OneHot":
        feeds["x0"] = np.abs(feeds["x0"])
    named = {f"c{i}": np.asarray(c) for i, c in enumerate(constants) if not isinstance(c, str)}
    reads = [*inputs, *(f"c{i}" if f"c{i}" in named else "-" for i in range(len(constants)))]
    count = {"DynamicQuantizeLinear": 3, "Split": 3, "TopK": 2}.get(operator, 1)
    node = (operator, " ".join(reads), " ".join(f"y{i}" for i in range(count)), attributes)
    if in_graph:
        model = build([node], {}, named | feeds, opset=opset)
        feeds = {}
    else:
        model = build([node], inputs, named, opset=opset)
    inferred = infer(model, {}).tensors
    for name, array in run(model, feeds).items():
        assert (inferred[name].shape, inferred[name].array.dtype) == (array.shape, array.dtype)
        assert inferred[name].is_constant == (in_graph or not inputs or operator in ("Shape", "Size"))
        if inferred[name].is_known:
            np.testing.assert_allclose(inferred[name].array, array, rtol=1e-6)


def test_every_operator_is_held_to_onnx_runtime():
    assert {case[0] for case in CASES} | NOT_HERE == set(RULES)


WHOLE = [
    ("unet", {"sample": (3, 4, 24, 40), "encoder_hidden_states": (3, 9, 128)}),
    ("unet", {"sample": (1, 4, 9, 15), "encoder_hidden_states": (1, 1, 128)}),
    ("vae_decoder", {"latent_sample": (2, 4, 5, 3)}),
    ("vae_encoder", {"sample": (1, 3, 33, 55)}),
    ("text_encoder", {"input_ids": (2, 13)}),
    ("taesd_decoder", {"latent_sample": (1, 4, 3, 5)}),
]


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize(("name", "shapes"), WHOLE)
def test_every_value_of_a_whole_graph_has_the_shape_and_data_of_onnx_runtime(name, shapes, dtype):
    if name == "taesd_decoder":
        model = build_network(name, TAESD, Variant(dtype))
    else:
        model = open_model("demo").components[name].graph(Variant(dtype))
    inferred = infer(model, shapes).tensors
    rng = np.random.default_rng(0)
    feeds = {}
    for key, value in model.inputs.items():
        shape = shapes.get(key, ())
        feeds[key] = (
            rng.integers(1, 9, shape) if value.dtype == np.int64 else rng.normal(size=shape)
        ).astype(value.dtype)
    computed = run(model, feeds)
    assert len(computed) == sum(len(node.output) for node in model.proto.graph.node)
    for key, array in computed.items():
        assert (inferred[key].shape, inferred[key].array.dtype) == (array.shape, array.dtype), key
        if inferred[key].is_known:
            np.testing.assert_array_equal(inferred[key].array, array)


@settings(max_examples=60)
@given(data=st.data())
def test_windows_of_any_kind_have_the_size_that_onnx_runtime_gives(data):
    draw = data.draw
    sizes = draw(st.tuples(st.integers(8, 20), st.integers(8, 20)))
    kernel = draw(st.lists(st.integers(1, 3), min_size=2, max_size=2))
    attributes = {
        "strides": draw(st.lists(st.integers(1, 4), min_size=2, max_size=2)),
        "dilations": draw(st.lists(st.integers(1, 3), min_size=2, max_size=2)),
        "pads": draw(st.lists(st.integers(0, 2), min_size=4, max_size=4)),
    }
    operator = draw(st.sampled_from(["Conv", "ConvTranspose", "MaxPool"]))
    if operator == "MaxPool":
        # onnxruntime wants padding smaller than the kernel
        attributes["pads"] = [min(pad, kernel[i % 2] - 1) for i, pad in enumerate(attributes["pads"])]
        attributes |= {"kernel_shape": kernel, "ceil_mode": draw(st.integers(0, 1))}
    constants = {} if operator == "MaxPool" else {"w": np.ones((2, 2, *kernel), np.float32)}
    x = np.ones((1, 2, *sizes), np.float32)
    model = build([(operator, " ".join(["x", *constants]), "y", attributes)], {"x": (F, x.shape)}, constants)
    assert infer(model, {}).tensors["y"].shape == run(model, {"x": x})["y"].shape


@settings(max_examples=60)
@given(data=st.data())
def test_slices_of_any_kind_are_those_of_onnx_runtime(data):
    bound = st.one_of(st.integers(-9, 9), st.sampled_from([2**62, -(2**62)]))
    step = st.integers(-3, 3).filter(bool)
    starts, ends, steps = (data.draw(st.lists(s, min_size=2, max_size=2)) for s in (bound, bound, step))
    x = np.arange(30).reshape(5, 6)
    constants = {"x": x, "s": ints(*starts), "e": ints(*ends), "a": ints(0, -1), "d": ints(*steps)}
    model = build([("Slice", "x s e a d", "y", {})], {}, constants)
    np.testing.assert_array_equal(infer(model, {}).tensors["y"].array, run(model, {})["y"])


def linear(**inputs):
    return build([("MatMul", "x w", "y", {})], inputs or {"x": (F, ("batch", 4))}, {"w": np.ones((4, 3), F)})


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, r"input x \('batch', 4\) is missing"),
        ({"x": (1, 4), "z": (1,)}, r"no such input: z; has x"),
        ({"x": (1, 5)}, r"small.x: expected \('batch', 4\), got \(1, 5\)"),
        ({"x": (4,)}, r"small.x: expected \('batch', 4\), got \(4,\)"),
    ],
)
def test_shapes_that_a_graph_does_not_take_are_named(shapes, message):
    with pytest.raises(InputError, match=message):
        infer(linear(), shapes)


def test_a_free_dimension_has_one_size():
    model = build([("Add", "x y", "z", {})], {"x": (F, ("batch", 4)), "y": (F, ("batch", 1))})
    assert infer(model, {"x": (2, 4), "y": (2, 1)}).tensors["z"].shape == (2, 4)
    with pytest.raises(
        InputError, match=r"small.y: expected \('batch', 1\) where {'batch': 2}, got \(3, 1\)"
    ):
        infer(model, {"x": (2, 4), "y": (3, 1)})


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("Loop", "x", "y", {})], "small: Loop y: operator Loop is not known here"),
        ([("Reshape", "x x", "y", {})], "small: Reshape y: its shape depends on the data of x"),
        ([("Add", "x nothing", "y", {})], "small: Add y: its input nothing is made by no node before it"),
        ([("MatMul", "x x", "y", {})], r"small: MatMul y: inputs \(2, 3\), \(2, 3\) do not fit together"),
        ([("Concat", "x", "y", {})], "small: Concat y: "),
        ([("Gemm", "x", "y", {})], "small: Gemm y: has no input 1"),
        ([("Relu", "x", "y z", {})], "small: Relu y: the shape of its output z is not known here"),
    ],
)
def test_what_cannot_be_told_is_an_error_that_names_the_node(nodes, message):
    with pytest.raises(GraphError, match=message):
        infer(build(nodes, {"x": (I if nodes[0][0] == "Reshape" else F, (2, 3))}), {})


def test_an_operator_of_another_domain_is_not_taken_for_onnx_own():
    model = build([("Relu", "x", "y", {})], {"x": (F, (2,))})
    model.proto.graph.node[0].domain = "com.example"
    with pytest.raises(GraphError, match="small: Relu y: operator Relu of com.example is not known here"):
        infer(model, {})


@pytest.mark.parametrize(
    ("field", "dtype"),
    [("float_data", "f4"), ("int32_data", "i4"), ("int64_data", "i8"), ("double_data", "f8")],
)
def test_data_of_initializers_are_read_from_each_field(field, dtype):
    model = build([("Identity", "c", "y", {})], {}, {"c": np.array([3, 5], dtype)})
    constant = model.proto.graph.initializer[0]
    constant.ClearField("raw_data")
    getattr(constant, field).extend([3, 5])
    np.testing.assert_array_equal(infer(model, {}).tensors["y"].array, np.array([3, 5], dtype))


def test_float16_and_bool_data_are_read_from_int32_data():
    for values in (np.array([0.5, -2], np.float16), np.array([True, False])):
        model = build([("Identity", "c", "y", {})], {}, {"c": values})
        constant = model.proto.graph.initializer[0]
        constant.ClearField("raw_data")
        constant.int32_data.extend(
            values.view(np.uint16 if values.dtype == np.float16 else np.uint8).tolist()
        )
        np.testing.assert_array_equal(infer(model, {}).tensors["y"].array, values)


def test_an_initializer_without_all_of_its_data_is_refused():
    model = build([("Identity", "c", "y", {})], {}, {"c": np.ones(3, F)})
    model.proto.graph.initializer[0].raw_data = b"1234"
    with pytest.raises(GraphError, match=r"initializer c \(3,\) holds 1 elements"):
        infer(model, {})
