"""The graphs against torch: what they compute, at which sizes, and what stands in them."""

import gzip
import importlib.resources
import math
import runpy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from checkpoints import VOCABULARY, make_text_encoder, make_unet, make_vae

from latentrt.errors import ModelError
from latentrt.fingerprint import fingerprint, graph_names, load_graph
from latentrt_export.graphs import COMPUTES, build_graph, parameter_shapes, serialize
from latentrt_export.published import SD1_TEXT_ENCODER, SD1_UNET, SD1_VAE

# ‖Δ‖ / ‖reference‖. Measured: fp32 at most 3e-6, fp16 at most 1.5e-3, over every case below.
BOUNDS = {"fp32": 1e-5, "fp16": 5e-3}
MAX_PACKED_BYTES = 400_000


def state(module):
    """Parameters under their checkpoint names, rounded to float16; torch computes with the rounded ones too."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.half().float())
    prefix = "text_model." if hasattr(module, "embeddings") else ""
    return {f"{prefix}{name}": p.detach().half().numpy() for name, p in module.named_parameters()}


def session(component, config, compute, tensors):
    model = build_graph(component, config, compute)
    names = list(parameter_shapes(model))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.add_external_initializers(names, [ort.OrtValue.ortvalue_from_numpy(tensors[n]) for n in names])
    return ort.InferenceSession(serialize(model), options, providers=["CPUExecutionProvider"])


def run(graph, **inputs):
    types = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(int64)": np.int64}
    feeds = {v.name: np.asarray(inputs[v.name]).astype(types[v.type]) for v in graph.get_inputs()}
    return dict(zip([v.name for v in graph.get_outputs()], graph.run(None, feeds), strict=True))


def relative(got, expected):
    expected = np.asarray(expected, np.float64)
    assert got.shape == expected.shape
    return np.linalg.norm(got.astype(np.float64) - expected) / np.linalg.norm(expected)


def halves(*shape, seed=0, std=1.0):
    values = np.random.default_rng(seed).standard_normal(shape) * std
    return values.astype(np.float16).astype(np.float32)


UNETS = {
    "sd1": {},
    "sd2": {
        "use_linear_projection": True,
        "attention_head_dim": [2, 4, 8],
        "upcast_attention": True,
        "norm_num_groups": 8,
    },
    "inpainting": {"in_channels": 9, "layers_per_block": 2},
    "deeper": {"transformer_layers_per_block": 2, "layers_per_block": [1, 2, 1], "mid_block_scale_factor": 1.5},
    "two levels, padded by hand": {
        "block_out_channels": (32, 48),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "time_embedding_dim": 40,
    },
}  # fmt: skip
# batch, height, width, sequence, timestep; odd sizes are what diffusers calls forward_upsample_size
SIZES = [
    (1, 8, 8, 77, 0.0),
    (2, 16, 24, 77, 981.0),
    (2, 9, 11, 5, 481.37),
    (3, 7, 13, 154, 999.0),
    (1, 1, 2, 1, 1.0),
]


@pytest.mark.parametrize("kind", UNETS)
@pytest.mark.parametrize("compute", COMPUTES)
def test_unet_equals_diffusers(kind, compute):
    unet = make_unet(**UNETS[kind])
    graph = session("unet", unet.config, compute, state(unet))
    # Padded by hand, an odd size loses its last row, and diffusers itself cannot join the skip connection.
    sizes = SIZES[:2] if "padded" in kind else SIZES
    for batch, height, width, sequence, timestep in sizes:
        sample = halves(batch, unet.config.in_channels, height, width)
        context = halves(batch, sequence, 32, seed=1)
        got = run(graph, sample=sample, timestep=timestep, encoder_hidden_states=context)["out_sample"]
        with torch.inference_mode():
            wanted = unet(torch.tensor(sample), torch.tensor(timestep), torch.tensor(context)).sample
        assert relative(got, wanted) < BOUNDS[compute], (batch, height, width, sequence)


VAES = {
    "sd1": {},
    "no attention, no quant": {
        "mid_block_add_attention": False,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "latent_channels": 8,
        "layers_per_block": 2,
    },
}


@pytest.mark.parametrize("kind", VAES)
@pytest.mark.parametrize("compute", COMPUTES)
def test_vae_equals_diffusers(kind, compute):
    vae = make_vae(**VAES[kind])
    tensors = state(vae)
    encoder = session("vae_encoder", vae.config, compute, tensors)
    decoder = session("vae_decoder", vae.config, compute, tensors)
    for batch, height, width in ((1, 32, 32), (2, 48, 40), (1, 33, 46)):
        pixels = np.clip(halves(batch, 3, height, width, std=0.5), -1, 1)
        latents = halves(batch, vae.config.latent_channels, height // 4, width // 4, std=5)
        with torch.inference_mode():
            moments = vae.encode(torch.tensor(pixels)).latent_dist.parameters
            picture = vae.decode(torch.tensor(latents)).sample
        assert relative(run(encoder, sample=pixels)["latent_parameters"], moments) < BOUNDS[compute]
        assert relative(run(decoder, latent_sample=latents)["sample"], picture) < BOUNDS[compute]


@pytest.mark.parametrize("config", [{}, {"hidden_act": "gelu", "eos_token_id": 8, "num_hidden_layers": 1}])
@pytest.mark.parametrize("compute", COMPUTES)
def test_text_encoder_equals_transformers(config, compute):
    encoder = make_text_encoder(**config)
    graph = session("text_encoder", encoder.config.to_dict(), compute, state(encoder))
    rng = np.random.default_rng(0)
    for batch, sequence in ((1, 77), (2, 9), (3, 1)):
        ids = rng.integers(0, len(VOCABULARY) - 1, (batch, sequence))
        ids[:, sequence // 2 :] = len(VOCABULARY) - 1  # the pooled token is the first of the equal ones
        got = run(graph, input_ids=ids)
        with torch.inference_mode():
            wanted = encoder(torch.tensor(ids), output_hidden_states=True)
        assert relative(got["last_hidden_state"], wanted.last_hidden_state) < BOUNDS[compute]
        assert relative(got["pooler_output"], wanted.pooler_output) < BOUNDS[compute]
        assert len(got) == 2 + len(wanted.hidden_states)
        for index, hidden in enumerate(wanted.hidden_states):
            assert relative(got[f"hidden_states.{index}"], hidden) < BOUNDS[compute]


def test_padding_does_not_change_what_stands_before_it():
    encoder = make_text_encoder()
    graph = session("text_encoder", encoder.config.to_dict(), "fp32", state(encoder))
    ids = np.asarray([[7, 1, 2, 8, 8, 8, 8]])
    whole = run(graph, input_ids=ids)["last_hidden_state"]
    start = run(graph, input_ids=ids[:, :4])["last_hidden_state"]
    np.testing.assert_allclose(whole[:, :4], start, atol=1e-6)


def networks():
    unet, vae, text = make_unet(), make_vae(), make_text_encoder()
    names = [f"text_model.{name}" for name, _ in text.named_parameters()]
    yield "text_encoder", text.config.to_dict(), names, dict(zip(names, text.parameters(), strict=True))
    yield "unet", unet.config, [n for n, _ in unet.named_parameters()], dict(unet.named_parameters())
    parameters = dict(vae.named_parameters())
    for half, parts in (
        ("encoder", ("encoder.", "quant_conv.")),
        ("decoder", ("decoder.", "post_quant_conv.")),
    ):
        yield f"vae_{half}", vae.config, [n for n in parameters if n.startswith(parts)], parameters


@pytest.mark.parametrize("compute", COMPUTES)
def test_every_parameter_is_external_and_named_as_in_the_checkpoint(compute):
    for component, config, names, parameters in networks():
        model = build_graph(component, config, compute)
        assert model.opset_import[0].version == 20 and len(model.opset_import) == 1 and model.ir_version <= 10
        assert sorted(parameter_shapes(model)) == sorted(names)
        inline = 0
        for tensor in model.graph.initializer:
            if tensor.data_location != onnx.TensorProto.EXTERNAL:
                inline += len(tensor.raw_data)
                continue
            assert tensor.data_type == onnx.TensorProto.FLOAT16
            assert tuple(tensor.dims) == tuple(parameters[tensor.name].shape)
            assert [(e.key, e.value) for e in tensor.external_data] == [("location", "weights")]
            users = [node for node in model.graph.node if tensor.name in node.input]
            if compute == "fp32":
                assert [node.op_type for node in users] == ["Cast"]
                assert users[0].attribute[0].i == onnx.TensorProto.FLOAT
        assert inline < 8192


@pytest.mark.parametrize("compute", COMPUTES)
def test_interface(compute):
    kind = {"fp16": onnx.TensorProto.FLOAT16, "fp32": onnx.TensorProto.FLOAT}[compute]
    inputs = {
        "text_encoder": {"input_ids": (onnx.TensorProto.INT64, ["batch", "sequence"])},
        "unet": {
            "sample": (kind, ["batch", 4, "height", "width"]),
            "timestep": (onnx.TensorProto.FLOAT, []),
            "encoder_hidden_states": (kind, ["batch", "sequence", 32]),
        },
        "vae_encoder": {"sample": (kind, ["batch", 3, "height", "width"])},
        "vae_decoder": {"latent_sample": (kind, ["batch", 4, "height", "width"])},
    }
    outputs = {
        "text_encoder": ["last_hidden_state", "pooler_output", *(f"hidden_states.{i}" for i in range(4))],
        "unet": ["out_sample"],
        "vae_encoder": ["latent_parameters"],
        "vae_decoder": ["sample"],
    }
    for component, config, _, _ in networks():
        graph = build_graph(component, config, compute).graph
        found = {
            v.name: (
                v.type.tensor_type.elem_type,
                [
                    d.dim_value if d.HasField("dim_value") else d.dim_param
                    for d in v.type.tensor_type.shape.dim
                ],
            )
            for v in graph.input
        }
        assert found == inputs[component]
        assert [v.name for v in graph.output] == outputs[component]
        assert {v.type.tensor_type.elem_type for v in graph.output} == {kind}


@pytest.mark.parametrize("component", ["text_encoder", "unet", "vae_encoder", "vae_decoder"])
def test_published_graphs_are_what_is_shipped(component):
    config = {"text_encoder": SD1_TEXT_ENCODER, "unet": SD1_UNET}.get(component, SD1_VAE)
    for compute in COMPUTES:
        assert serialize(build_graph(component, config, compute)) == load_graph(f"sd1-{component}", compute)


def test_all_shipped_graphs_would_be_made_again(monkeypatch, capsys):
    tool = Path(__file__).parents[2] / "tools" / "make_graphs.py"
    monkeypatch.setattr("sys.argv", ["make_graphs.py", "--check"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(tool), run_name="__main__")
    assert end.value.code == 0, capsys.readouterr().out


def test_shipped_graphs_are_small_and_whole():
    parameters = {"sd1-unet": 859_520_964, "sd1-text_encoder": 123_060_480, "sd1-vae_decoder": 49_490_199}
    folder = importlib.resources.files("latentrt") / "graphs"
    for name in graph_names():
        for compute in COMPUTES:
            packed = (folder / f"{name}.{compute}.onnx.gz").read_bytes()
            assert len(packed) <= MAX_PACKED_BYTES
            assert packed[4:8] == b"\0\0\0\0"  # gzip's time stamp
            model = onnx.load_from_string(gzip.decompress(packed))
            count = sum(math.prod(shape) for shape in parameter_shapes(model).values())
            assert count == parameters.get(name, count)
    assert len({fingerprint("unet", SD1_UNET), fingerprint("vae_encoder", SD1_VAE)}) == 2


@pytest.mark.parametrize(
    ("component", "config", "named"),
    [
        ("unet", {"class_embed_type": "timestep"}, "class_embed_type"),
        ("unet", {"addition_embed_type": "text_time"}, "addition_embed_type"),
        ("unet", {"down_block_types": ["AttnDownBlock2D"] * 4}, "down_block_types"),
        ("unet", {"block_out_channels": [320, 640, 1280, "wide"]}, "block_out_channels"),
        ("unet", {"attention_head_dim": 7}, "attention_head_dim"),
        ("unet", {"time_cond_proj_dim": 256}, "time_cond_proj_dim"),
        ("vae_decoder", {"act_fn": "mish"}, "act_fn"),
        ("vae_encoder", {"down_block_types": ["AttnDownEncoderBlock2D"] * 4}, "down_block_types"),
        ("text_encoder", {"hidden_act": "relu"}, "hidden_act"),
        ("text_encoder", {"num_attention_heads": 7}, "num_attention_heads"),
    ],
)
def test_what_has_no_graph_is_named(component, config, named):
    base = {"text_encoder": SD1_TEXT_ENCODER, "unet": SD1_UNET}.get(component, SD1_VAE)
    with pytest.raises(ModelError, match=rf"{component}: config\.json: {named} is"):
        build_graph(component, {**base, **config}, "fp16")
