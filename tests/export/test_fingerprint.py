"""Which config.json finds which shipped graph."""

import pytest
from checkpoints import make_unet, make_vae
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig

from latentrt.errors import GraphError
from latentrt.fingerprint import find_graph, fingerprint, load_graph
from latentrt_export.published import SD1_TEXT_ENCODER, SD1_UNET, SD1_VAE

# As Stable Diffusion 1.4's folder on the hub says it, written by diffusers 0.2 and transformers 4.
SD14_UNET = {**SD1_UNET, "_diffusers_version": "0.2.2"}
SD14_TEXT = {
    **{key: value for key, value in SD1_TEXT_ENCODER.items() if key != "projection_dim"},
    "_name_or_path": "openai/clip-vit-large-patch14",
    "torch_dtype": "float32",
    "transformers_version": "4.21.0.dev0",
}


@pytest.mark.parametrize(
    ("component", "config", "name"),
    [
        ("unet", SD14_UNET, "sd1-unet"),
        ("unet", {**SD14_UNET, "_diffusers_version": "0.6.0", "sample_size": 96}, "sd1-unet"),
        ("unet", {**SD14_UNET, "in_channels": 9}, "sd1-inpaint-unet"),
        ("unet", {**SD14_UNET, "in_channels": 8}, None),  # InstructPix2Pix
        ("unet", {**SD14_UNET, "cross_attention_dim": 1024}, None),
        ("unet", {**SD14_UNET, "norm_eps": 1e-6}, None),
        ("unet", {**SD14_UNET, "attention_head_dim": [8, 8, 8, 8], "act_fn": "swish"}, "sd1-unet"),
        ("unet", {**SD14_UNET, "num_attention_heads": 8, "attention_head_dim": 40}, "sd1-unet"),
        ("unet", {**SD14_UNET, "mid_block_scale_factor": 1.0, "dropout": 0.1}, "sd1-unet"),
        ("unet", {**SD14_UNET, "a_key_of_the_future": None, "another": False}, "sd1-unet"),
        ("unet", {**SD14_UNET, "a_key_of_the_future": "rotary"}, None),
        ("unet", {**SD14_UNET, "_class_name": "UNet3DConditionModel"}, None),
        ("vae_decoder", SD1_VAE, "sd1-vae_decoder"),
        ("vae_encoder", {**SD1_VAE, "scaling_factor": 0.13025, "force_upcast": True}, "sd1-vae_encoder"),
        ("vae_decoder", {**SD1_VAE, "latent_channels": 16}, None),
        ("vae_decoder", {**SD1_VAE, "_class_name": "AsymmetricAutoencoderKL"}, None),
        ("text_encoder", SD14_TEXT, "sd1-text_encoder"),
        ("text_encoder", {k: v for k, v in SD14_TEXT.items() if k != "eos_token_id"}, "sd1-text_encoder"),
        ("text_encoder", {**SD14_TEXT, "vocab_size": 49410}, None),
        ("text_encoder", {**SD14_TEXT, "architectures": ["CLIPTextModelWithProjection"]}, None),
        ("text_encoder", {**SD14_TEXT, "hidden_act": "gelu"}, None),
    ],
)
def test_published_configurations(component, config, name):
    assert find_graph(component, config) == name


def test_configurations_written_by_current_versions(tmp_path):
    """All settings spelled out, as diffusers and transformers write them today."""
    for kind, config, component in (
        (UNet2DConditionModel, SD1_UNET, "unet"),
        (AutoencoderKL, SD1_VAE, "vae_decoder"),
    ):
        from accelerate import init_empty_weights

        with init_empty_weights():
            full = dict(kind.from_config(config).config)
        assert len(full) > len(config)
        assert find_graph(component, full) == f"sd1-{component}"
    text = CLIPTextConfig.from_dict(SD1_TEXT_ENCODER).to_dict()
    assert find_graph("text_encoder", text) == "sd1-text_encoder"


def test_no_setting_that_changes_a_graph_goes_unnoticed():
    """Every setting of the classes is either known to decide the graph or known not to."""
    for model, component in ((make_unet(), "unet"), (make_vae(), "vae_encoder")):
        config = dict(model.config)
        before = fingerprint(component, config)
        unnoticed = {
            key
            for key in config
            if not key.startswith("_") and fingerprint(component, {**config, key: "different"}) == before
        }
        irrelevant = {"sample_size", "dropout"}
        if component == "vae_encoder":
            irrelevant |= {"scaling_factor", "shift_factor", "latents_mean", "latents_std", "force_upcast"}
            irrelevant.discard("dropout")
        assert unnoticed == irrelevant


def test_unknown_names():
    with pytest.raises(GraphError, match=r"no such component; expected one of unet"):
        fingerprint("transformer", {})
    with pytest.raises(GraphError, match=r"sd9\.fp16: no such graph is included; expected one of .*sd1-unet"):
        load_graph("sd9", "fp16")
