"""The networks against torch: what they compute, at which sizes, and what stands in their graphs."""

import numpy as np
import onnx
import pytest
import torch
from checkpoints import VOCABULARY, make_text_encoder, make_unet, make_vae
from network_cases import BOUNDS, beside, halves, relative, run, session, state, with_torch

from latentrt.errors import ModelError
from latentrt.models.published import SD1_TEXT_ENCODER, SD1_UNET, SD1_VAE
from latentrt.networks import COMPUTES, Variant, build

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
    "sdxl": {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 2,
        "transformer_layers_per_block": [1, 2, 3],
        "attention_head_dim": [2, 4, 4],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 48 + 6 * 8,
    },
    "ssd-1b": {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 2,
        "mid_block_type": "UNetMidBlock2D",
        "transformer_layers_per_block": [[1, 1], [2, 2], [2, 3]],
        "reverse_transformer_layers_per_block": [[2, 3, 1], [2, 1, 1], 1],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 7,
        "projection_class_embeddings_input_dim": 20 + 6 * 7,
    },
    "latent consistency": {"time_cond_proj_dim": 20},
    "no middle": {"mid_block_type": None},
    "x4's attention": {"only_cross_attention": [True, True, False], "use_linear_projection": True},
    "x4 upscaler": {
        "in_channels": 7,
        "num_class_embeds": 11,
        "block_out_channels": (32, 64, 48),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "only_cross_attention": [True, True, False],
        "attention_head_dim": 8,
        "use_linear_projection": True,
    },
    "text alone": {"only_cross_attention": True},
    "text alone, but in the middle": {"only_cross_attention": True, "mid_block_only_cross_attention": False},
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
        more = beside(unet.config, batch)
        got = run(graph, sample=sample, timestep=timestep, encoder_hidden_states=context, **more)[
            "out_sample"
        ]
        wanted = with_torch(unet, sample, timestep, context, more)
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
        graph = build(component, dict(config), Variant(compute))
        model = onnx.load_from_string(graph.serialize())
        assert model.opset_import[0].version == 20 and len(model.opset_import) == 1 and model.ir_version <= 10
        assert sorted(p.name for p in graph.parameters) == sorted(names)
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
        graph = onnx.load_from_string(build(component, dict(config), Variant(compute)).serialize()).graph
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


@pytest.mark.parametrize(
    ("component", "config", "named"),
    [
        ("unet", {"class_embed_type": "timestep"}, "class_embed_type"),
        ("unet", {"addition_embed_type": "image"}, "addition_embed_type"),
        ("unet", {"down_block_types": ["AttnDownBlock2D"] * 4}, "down_block_types"),
        ("unet", {"block_out_channels": [320, 640, 1280, "wide"]}, "block_out_channels"),
        ("unet", {"attention_head_dim": 641}, "attention_head_dim"),
        ("unet", {"norm_num_groups": 7}, "norm_num_groups"),
        ("unet", {"resnet_out_scale_factor": 2.0}, "resnet_out_scale_factor"),
        ("vae_encoder", {"norm_num_groups": 48}, "norm_num_groups"),
        ("text_encoder", {"architectures": ["CLIPModel"]}, "architectures"),
        ("unet", {"time_cond_proj_dim": 0}, "time_cond_proj_dim"),
        ("vae_decoder", {"act_fn": "mish"}, "act_fn"),
        ("vae_encoder", {"down_block_types": ["AttnDownEncoderBlock2D"] * 4}, "down_block_types"),
        ("text_encoder", {"hidden_act": "relu"}, "hidden_act"),
        ("text_encoder", {"num_attention_heads": 7}, "num_attention_heads"),
    ],
)
def test_what_has_no_graph_is_named(component, config, named):
    base = {"text_encoder": SD1_TEXT_ENCODER, "unet": SD1_UNET}.get(component, SD1_VAE)
    with pytest.raises(ModelError, match=rf"{component}: config\.json: {named} is"):
        build(component, {**base, **config})
