"""The proof: whatever is right passes it, whatever is wrong does not, and float64 decides between two that disagree."""

import json
import random
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from checkpoints import make_text_encoder, make_unet, make_vae, randomize
from hypothesis import given
from hypothesis import strategies as st

from latentrt.errors import ModelError
from latentrt.models.component import Component
from latentrt.models.manifest import Parity
from latentrt.models.safetensors import write_safetensors
from latentrt.models.weights import read_safetensors
from latentrt_export.bundle.source import tensors_of
from latentrt_export.bundle.writer import write_component
from latentrt_export.proof import parity, reference
from latentrt_export.proof.parity import ParityError, prove, trials
from latentrt_export.proof.rounding import compare_weights, worst_errors

FOLDERS = {"text_encoder": "text_encoder", "unet": "unet", "vae_encoder": "vae", "vae_decoder": "vae"}


def written(module, root, component, dtype="fp16"):
    """A module as a checkpoint of one component, and what was written of it: the arguments of `prove`."""
    folder = FOLDERS[component]
    module.save_pretrained(root / folder)
    network = Component(component, root / folder, json.loads((root / folder / "config.json").read_text()))
    out = root / f"out-{component}"
    out.mkdir()
    write_component(out, network, dtype)
    return out, network, tensors_of(network)


def of_config(component, config, where=Path("here")):
    return Component(component, where, config)


def vae_of(widths, groups, **config):
    levels = len(widths)
    kinds = {
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
    }
    return make_vae(block_out_channels=widths, norm_num_groups=groups, **kinds, **config)


# ---- what is right passes


@pytest.mark.parametrize("half", ["vae_encoder", "vae_decoder"])
@pytest.mark.parametrize(
    ("widths", "groups"),
    [
        ((7, 14, 21), 7),
        ((12, 20, 28, 36), 4),
        ((10, 15, 20, 25, 30), 5),
        ((8, 8, 16, 16, 24), 8),
        ((3, 9, 15, 9, 3, 21), 3),
    ],
)
def test_autoencoders_of_any_depth_pass(tmp_path, widths, groups, half):
    vae = randomize(vae_of(widths, groups), 3, 0.15)
    proof = prove(*written(vae, tmp_path, half))
    assert proof.reference == "float32" and not proof.fp32_only
    # Measured over these: 6.6e-7 to 3.0e-6, and 2.1e-4 to 2.5e-4.
    assert proof.parity["fp32"].relative < 1e-5
    assert proof.parity["fp16"].relative < 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_unets_of_any_shape_pass(tmp_path, seed):
    rng = random.Random(seed)
    levels, groups = rng.randint(1, 4), rng.choice((1, 3, 5))
    unet = make_unet(
        seed,
        block_out_channels=tuple(groups * rng.randint(2, 6) * 2 for _ in range(levels)),
        norm_num_groups=groups,
        down_block_types=tuple(rng.choice(("CrossAttnDownBlock2D", "DownBlock2D")) for _ in range(levels)),
        up_block_types=tuple(rng.choice(("CrossAttnUpBlock2D", "UpBlock2D")) for _ in range(levels)),
        attention_head_dim=2,
        use_linear_projection=rng.random() < 0.5,
        upcast_attention=rng.random() < 0.5,
    )
    proof = prove(*written(randomize(unet, seed, 0.1), tmp_path, "unet"))
    assert proof.parity["fp32"].relative < 1e-5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_reference_never_leaves_its_norms_channels_last(tmp_path, dtype):
    """Attention gives channels last; a mean of 40 deviations then costs torch's own norms four digits."""
    vae = make_vae()
    with torch.no_grad():
        vae.decoder.mid_block.attentions[0].to_out[0].bias += 20
    out, component, _ = written(vae, tmp_path, "vae_decoder")
    cases = trials(component)
    weights = out / "model.safetensors"
    exact = reference.reference_outputs(component, weights, cases, "float64").outputs
    got = reference.reference_outputs(component, weights, cases, dtype).outputs
    assert worst_errors(got, exact).relative < {"float32": 3e-6, "float64": 1e-15}[dtype]
    assert got[0]["sample"].dtype == dtype


# ---- what is wrong does not


def graph_of(out, compute="fp32"):
    path = out / {"fp16": "model.onnx", "fp32": "model.fp32.onnx"}[compute]
    return path, onnx.load(path, load_external_data=False)


@pytest.mark.parametrize("compute", ["fp16", "fp32"])
@pytest.mark.parametrize("which", [0, 7, -1])
def test_one_norm_with_another_epsilon_is_refused(tmp_path, compute, which):
    arguments = written(make_vae(), tmp_path, "vae_decoder")
    path, model = graph_of(arguments[0], compute)
    norms = [node for node in model.graph.node if node.op_type == "InstanceNormalization"]
    next(a for a in norms[which].attribute if a.name == "epsilon").f = 1e-5
    path.write_bytes(model.SerializeToString())
    message = f"the {compute} graph has 1 group norms of 8 groups with epsilon 1e-05 where torch has 1 .* epsilon 1e-06"
    with pytest.raises(ParityError, match=message):
        prove(*arguments)


def test_one_norm_of_a_text_encoder_with_another_epsilon_is_refused(tmp_path):
    arguments = written(make_text_encoder(), tmp_path, "text_encoder")
    path, model = graph_of(arguments[0])
    norm = next(node for node in model.graph.node if node.op_type == "LayerNormalization")
    next(a for a in norm.attribute if a.name == "epsilon").f = 1e-6
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        ParityError, match=r"has 1 layer norms with epsilon 1e-06 where torch has 1 layer norms"
    ):
        prove(*arguments)


@pytest.mark.parametrize("groups", [4, 16])
def test_another_number_of_groups_is_refused(tmp_path, groups):
    """The graph of a config that says another number than torch is told."""
    vae = make_vae()
    vae.save_pretrained(tmp_path / "vae")
    config = json.loads((tmp_path / "vae" / "config.json").read_text())
    other = of_config("vae_decoder", {**config, "norm_num_groups": groups}, tmp_path / "vae")
    write_component(tmp_path, other)
    with pytest.raises(
        ParityError, match=rf"group norms of {groups} groups .* where torch has .* of 8 groups"
    ):
        prove(tmp_path, of_config("vae_decoder", config), tensors_of(other))


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_one_number_of_the_weights_that_is_off_by_a_percent_is_refused(tmp_path, dtype):
    arguments = written(make_vae(), tmp_path, "vae_decoder", dtype)
    file = arguments[0] / "model.safetensors"
    tensors = read_safetensors(file)
    name = "decoder.mid_block.resnets.0.conv1.weight"
    tensors[name][3, 2, 1, 0] *= np.asarray(1.01, tensors[name].dtype)
    write_safetensors(file, tensors)
    with pytest.raises(
        ParityError, match=re.escape(f"tensor {name} was not written as the checkpoint has it")
    ):
        prove(*arguments)


def test_a_weight_that_the_graph_takes_for_another_is_refused(tmp_path):
    """Every tensor is right, and one of them lies elsewhere than the graph says."""
    arguments = written(make_vae(), tmp_path, "vae_decoder")
    for compute in ("fp16", "fp32"):
        path, model = graph_of(arguments[0], compute)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        one, other = (tensors[f"decoder.mid_block.resnets.{i}.conv1.weight"] for i in (0, 1))
        assert list(one.dims) == list(other.dims)
        for entry, instead in zip(one.external_data, other.external_data, strict=True):
            entry.value = instead.value
        path.write_bytes(model.SerializeToString())
    with pytest.raises(ParityError, match=r"graph differs from torch in float64 by"):
        prove(*arguments)


# ---- who decides


def test_float64_decides_where_float32_disagrees(tmp_path, monkeypatch):
    """torch in float32 is made to err; the graphs are right, so they are not refused, and the vectors are right."""
    arguments = written(vae_of((16, 32), 8), tmp_path, "vae_decoder")
    honest = reference.reference_outputs

    def erring(*args, **kwargs):
        found = honest(*args, **kwargs)
        if found.outputs[0]["sample"].dtype == np.float32:
            for outputs in found.outputs:
                outputs["sample"] *= np.float32(1.0001)
        return found

    right = prove(*arguments)
    assert right.reference == "float32"
    vectors = read_safetensors(arguments[0] / parity.VECTORS_FILE)["output.sample"]
    monkeypatch.setattr(reference, "reference_outputs", erring)
    proof = prove(*arguments)
    assert proof.reference == "float64"
    assert proof.parity["fp32"].relative < 3e-6
    again = read_safetensors(arguments[0] / parity.VECTORS_FILE)["output.sample"]
    assert np.linalg.norm(again - vectors) < 1e-5 * np.linalg.norm(vectors)


def test_activations_beyond_fp16_make_it_fp32_only(tmp_path):
    vae = make_vae()
    with torch.no_grad():
        vae.decoder.conv_in.weight *= 3e4
        vae.decoder.conv_in.bias *= 3e4
    proof = prove(*written(vae, tmp_path, "vae_decoder"))
    assert proof.fp32_only and proof.parity["fp16"] == Parity(None, None)


# ---- what rounding cost


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_what_rounding_cost_is_what_it_cost(tmp_path, stored, dtype):
    vae = make_vae()
    if stored != torch.float32:
        torch.nn.Module.to(vae, stored)
    arguments = written(vae, tmp_path, "vae_decoder", dtype)
    cost = prove(*arguments).rounding
    assert cost.read == ({torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}[stored],)
    assert cost.stored == {"fp16": "F16", "fp32": "F32"}[dtype]
    wide = [p.detach().double() for p in (*vae.decoder.parameters(), *vae.post_quant_conv.parameters())]
    to = torch.float16 if dtype == "fp16" else torch.float32
    apart = [p.to(to).double() - p for p in wide]
    assert cost.weights.max_abs == max(float(a.abs().max()) for a in apart)
    norms = [sum(float((a**2).sum()) for a in one) ** 0.5 for one in (apart, wide)]
    assert cost.weights.relative == pytest.approx(norms[0] / norms[1], rel=1e-9)
    if cost.weights.max_abs == 0:
        assert cost.outputs == Parity(0.0, 0.0)
        return
    torch.nn.Module.to(vae, torch.float32)
    inputs = [torch.tensor(case["latent_sample"]) for case in trials(arguments[1])]
    with torch.inference_mode():
        before = [{"sample": vae.decode(one).sample.numpy()} for one in inputs]
        torch.nn.Module.to(torch.nn.Module.to(vae, to), torch.float32)
        after = [{"sample": vae.decode(one).sample.numpy()} for one in inputs]
    wanted = worst_errors(after, before)
    # Both are differences of float32 outputs, which differ by 1e-6 themselves.
    assert cost.outputs.relative == pytest.approx(wanted.relative, rel=0.02, abs=1e-6)
    assert cost.outputs.max_abs == pytest.approx(wanted.max_abs, rel=0.05, abs=5e-6)


class Given:
    def __init__(self, array):
        self.array = array

    def read(self, name, shape):
        return self.array

    def dtype(self, name):
        return "F32"


@given(st.lists(st.floats(-6e4, 6e4, width=32), min_size=1, max_size=40), st.integers(0, 39), st.booleans())
def test_weights_are_held_number_by_number(tmp_path_factory, values, at, change):
    array = np.asarray(values, np.float32)
    half = array.astype(np.float16)
    at %= len(half)
    if change:
        half[at] = np.nextafter(half[at], np.float16(0) if half[at] else np.float16(1))
    file = tmp_path_factory.mktemp("weights") / "model.safetensors"
    write_safetensors(file, {"w": half})
    if change:
        with pytest.raises(ParityError, match="unet: tensor w was not written as the checkpoint has it"):
            compare_weights("unet", file, Given(array))
        return
    found = compare_weights("unet", file, Given(array))
    assert found.weights.max_abs == np.abs(half.astype(np.float64) - array).max()
    assert found.largest == np.abs(array).max()
    assert found.weights.max_abs <= max(2.0**-25, found.largest * 2**-11)


# ---- configs that reach arithmetic


@pytest.mark.parametrize(
    "value",
    [0, 0.0, -0.0, 1e-300, 5e-324, float("nan"), float("inf"), 10**400, "0.18", True, [], {}],
)
def test_a_scaling_factor_that_nothing_can_be_divided_by_is_refused(tmp_path, value):
    make_vae().save_pretrained(tmp_path)
    config = {**json.loads((tmp_path / "config.json").read_text()), "scaling_factor": value}
    for component in ("vae_encoder", "vae_decoder"):
        with pytest.raises(ModelError, match=r"^here/config\.json: scaling_factor is .*; expected a"):
            trials(of_config(component, config))


@given(st.floats(1e-30, 1e18), st.booleans())
def test_any_other_gives_finite_trials(factor, negative):
    config = {
        "block_out_channels": [8],
        "norm_num_groups": 8,
        "scaling_factor": -factor if negative else factor,
    }
    for case in trials(of_config("vae_decoder", config)):
        assert case["latent_sample"].dtype == np.float32
        assert np.isfinite(case["latent_sample"]).all()


def test_a_class_that_refuses_the_config_is_our_error(tmp_path):
    arguments = written(make_vae(), tmp_path, "vae_decoder")
    with pytest.raises(
        ModelError, match=r"vae_decoder: its class in diffusers or transformers refuses config.json"
    ):
        bad = of_config("vae_decoder", {**arguments[1].config, "act_fn": "none"})
        reference.reference_outputs(bad, Path(arguments[0]) / "model.safetensors", [])


CONFIGS = {"unet": dict(make_unet().config), "vae_encoder": dict(make_vae().config)}
CONFIGS["vae_decoder"] = CONFIGS["vae_encoder"]
BAD = (0, -1, 0.5, 1e-300, 1e300, float("nan"), "x", [], [0], {}, True, None, 10**400, 2**31, [1, 2])


@given(st.sampled_from(("unet", "vae_encoder", "vae_decoder")), st.data())
def test_no_config_ends_in_another_error(component, data):
    """Whatever one setting says: trials are made, or our error names it."""
    config = CONFIGS[component]
    changed = data.draw(st.sampled_from(sorted(key for key in config if not key.startswith("_"))))
    try:
        cases = trials(of_config(component, {**config, changed: data.draw(st.sampled_from(BAD))}))
    except ModelError as error:
        assert changed in str(error) or "block" in str(error)
        return
    assert all(np.isfinite(value).all() for case in cases for value in case.values())
