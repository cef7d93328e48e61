"""Networks of random configurations, saved by diffusers and run as they are, against diffusers and transformers.

A generator with a fixed seed draws widths, depths, heads, groups and the rest; whatever it draws must be computed, or
the draw is narrowed with a reason. Widths are small, so that all of them take seconds.
"""

import json
import random
import shutil

import numpy as np
import pytest
import torch
from checkpoints import VOCABULARY, randomize, save_pipeline
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from network_cases import beside, halves, relative, with_torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

import latentrt
from latentrt.engine.providers import choose
from latentrt.engine.runner import Runner
from latentrt.models.component import Component

CASES = 30
PAINTED = 5
BOUND = 1e-4  # ‖Δ‖ / ‖reference‖
MAX_HEADS = 4  # of attention in UNets; no level has fewer channels
CPU = choose("cpu")


def draw_unet(rng, context, channels, told):
    levels = rng.randint(1, 4)
    groups = rng.choice((1, 2, 4, 8))
    each = rng.random() < 0.5  # a value for each level, or one for all
    down = [rng.choice(("CrossAttnDownBlock2D", "DownBlock2D")) for _ in range(levels)]
    up = [rng.choice(("CrossAttnUpBlock2D", "UpBlock2D")) for _ in range(levels)]
    config = {
        "block_out_channels": [
            groups * rng.randint(-(-MAX_HEADS // groups), 40 // groups) for _ in range(levels)
        ],
        "norm_num_groups": groups,
        "down_block_types": down,
        "up_block_types": up,
        "layers_per_block": [rng.randint(1, 2) for _ in range(levels)] if each else rng.randint(1, 2),
        "transformer_layers_per_block": [rng.randint(1, 3) for _ in range(levels)]
        if each
        else rng.randint(1, 2),
        "attention_head_dim": [rng.randint(1, MAX_HEADS) for _ in range(levels)]
        if each
        else rng.randint(1, MAX_HEADS),
        "cross_attention_dim": [context] * levels if each else context,
        "use_linear_projection": rng.random() < 0.5,
        "upcast_attention": rng.random() < 0.3,
        "mid_block_type": None if rng.random() < 0.3 else "UNetMidBlock2DCrossAttn",
        "mid_block_scale_factor": rng.choice((1, 0.5, 2.0)),
        "downsample_padding": rng.choice((0, 1, 1)),
        "flip_sin_to_cos": rng.random() < 0.7,
        "freq_shift": rng.choice((0, 1)) if groups > 2 else 0,
        "norm_eps": rng.choice((1e-5, 1e-6)),
        "time_embedding_dim": rng.choice((None, 24)),
        "act_fn": rng.choice(("silu", "swish")),
        "in_channels": channels,
        "out_channels": channels,
        "sample_size": 8,
    }
    rng = random.Random(rng.random())  # what is drawn from here on leaves the rest as it was
    if rng.random() < 0.4 and told:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": rng.choice((2, 6, 7)),
            "flip_sin_to_cos": rng.random() < 0.7,
            "freq_shift": 0,
        }
        pooled = rng.randint(3, 9)
        config["projection_class_embeddings_input_dim"] = pooled + 6 * config["addition_time_embed_dim"]
    if rng.random() < 0.3 and told:
        config["time_cond_proj_dim"] = rng.randint(2, 20)
    if rng.random() < 0.3:
        counts = config["layers_per_block"] if each else [config["layers_per_block"]] * levels
        config["transformer_layers_per_block"] = [[rng.randint(1, 3) for _ in range(n)] for n in counts]
        config["reverse_transformer_layers_per_block"] = [
            [rng.randint(1, 3) for _ in range(n + 1)] for n in reversed(counts)
        ]
    if rng.random() < 0.3 and config["mid_block_type"] is not None:
        config["mid_block_type"] = "UNetMidBlock2D"
    if each:  # a list keeps the flag of the middle block apart from that of the levels
        config["only_cross_attention"] = [rng.random() < 0.3 for _ in range(levels)]
    elif rng.random() < 0.2:
        config["only_cross_attention"] = True
    if rng.random() < 0.3 and told:
        config["num_class_embeds"] = rng.randint(1, 9)
    return config


def draw_vae(rng, channels):
    levels = rng.randint(1, 4)
    groups = rng.choice((1, 2, 4, 8))
    return {
        "block_out_channels": [groups * rng.randint(1, 24 // groups) for _ in range(levels)],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": rng.randint(1, 2),
        "norm_num_groups": groups,
        "latent_channels": channels,
        "use_quant_conv": rng.random() < 0.7,
        "use_post_quant_conv": rng.random() < 0.7,
        "mid_block_add_attention": rng.random() < 0.7,
        "scaling_factor": 0.5,
        "sample_size": 8 << (levels - 1),
    }


def draw_text_encoder(rng):
    heads = rng.randint(1, 4)
    return {
        "vocab_size": len(VOCABULARY),
        "hidden_size": heads * rng.randint(3, 9),
        "num_attention_heads": heads,
        "intermediate_size": rng.randint(8, 60),
        "num_hidden_layers": rng.randint(1, 4),
        "max_position_embeddings": rng.choice((77, 20)),
        "hidden_act": rng.choice(("quick_gelu", "gelu")),
        "layer_norm_eps": rng.choice((1e-5, 1e-6)),
        "projection_dim": rng.randint(4, 20),
        "bos_token_id": 7,
        "eos_token_id": rng.choice((2, 8)),
        "pad_token_id": 8,
    }


def draw_model(seed, folder, kind, told=True):
    """The modules, which are saved to the folder, and the generator for what is drawn after them.

    `told`: the UNet may take more than the text and the timestep.
    """
    rng = random.Random(seed)
    torch.manual_seed(seed)
    channels = rng.randint(1, 6)
    text_config = draw_text_encoder(rng)
    modules = {
        "text_encoder": kind(CLIPTextConfig(**text_config)),
        "unet": UNet2DConditionModel(**draw_unet(rng, text_config["hidden_size"], channels, told)),
        "vae": AutoencoderKL(**draw_vae(rng, channels)),
    }
    for index, (name, module) in enumerate(modules.items()):
        randomize(module, index).save_pretrained(folder / name)
    return modules, rng


@pytest.fixture(scope="module", params=range(CASES))
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("case") / "model"
    kind = CLIPTextModelWithProjection if request.param % 3 == 2 else CLIPTextModel
    modules, rng = draw_model(request.param, folder, kind)
    yield modules, folder, rng
    shutil.rmtree(folder)


def run(folder, name, network, **inputs):
    """Through the runtime, from the files that diffusers wrote."""
    config = json.loads((folder / name / "config.json").read_text())
    runner = Runner(Component(network, folder / name, config), CPU, "fp32")
    feeds = {key: np.asarray(value) for key, value in inputs.items()}
    outputs = runner.run(feeds)
    runner.close()
    return outputs


def test_unet_equals_diffusers(case):
    modules, folder, rng = case
    unet = modules["unet"]
    side = 2 ** (len(unet.config.block_out_channels) - 1)
    context = unet.config.cross_attention_dim
    context = context if isinstance(context, int) else context[0]
    sample = halves(2, unet.config.in_channels, side * rng.randint(1, 3), side * rng.randint(2, 3))
    states, timestep = halves(2, rng.choice((1, 77)), context, seed=1), rng.choice((0.0, 481.37, 999.0))
    more = beside(unet.config, 2)
    wanted = with_torch(unet, sample, timestep, states, more)
    got = run(
        folder,
        "unet",
        "unet",
        sample=sample,
        timestep=np.float32(timestep),
        encoder_hidden_states=states,
        **more,
    )
    assert relative(got["out_sample"], wanted) < BOUND


def test_vae_equals_diffusers(case):
    modules, folder, rng = case
    vae = modules["vae"]
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    height, width = rng.randint(2, 4), rng.randint(1, 4)  # torch norms no single pixel
    pixels = np.clip(halves(1, 3, height * factor, width * factor, std=0.5), -1, 1)
    latents = halves(1, vae.config.latent_channels, height, width, std=2)
    with torch.inference_mode():
        vae.double()  # torch's own norms err by 1e-4 on some layouts
        moments = vae.encode(torch.tensor(pixels, dtype=torch.float64)).latent_dist.parameters
        picture = vae.decode(torch.tensor(latents, dtype=torch.float64)).sample
    assert relative(run(folder, "vae", "vae_encoder", sample=pixels)["latent_parameters"], moments) < BOUND
    assert relative(run(folder, "vae", "vae_decoder", latent_sample=latents)["sample"], picture) < BOUND


def test_text_encoder_equals_transformers(case):
    modules, folder, rng = case
    encoder = modules["text_encoder"]
    length = min(encoder.config.max_position_embeddings, 20)
    ids = np.asarray([[7, *(rng.randint(0, 6) for _ in range(length - 3)), 8, 8] for _ in range(2)])
    with torch.inference_mode():
        wanted = encoder(torch.tensor(ids), output_hidden_states=True)
    got = run(folder, "text_encoder", "text_encoder", input_ids=ids)
    assert relative(got["last_hidden_state"], wanted.last_hidden_state) < BOUND
    for index, hidden in enumerate(wanted.hidden_states):
        assert relative(got[f"hidden_states.{index}"], hidden) < BOUND
    if isinstance(encoder, CLIPTextModelWithProjection):
        assert relative(got["text_embeds"], wanted.text_embeds) < BOUND
    else:
        assert relative(got["pooler_output"], wanted.pooler_output) < BOUND


@pytest.mark.parametrize("seed", range(PAINTED))
def test_pictures_of_models_of_any_widths_equal_those_of_diffusers(seed, tmp_path):
    folder = tmp_path / "model"
    save_pipeline(folder)  # tokenizer and scheduler; its networks are replaced
    for name in ("text_encoder", "unet", "vae"):
        shutil.rmtree(folder / name)
    modules, _ = draw_model(1000 + seed, folder, CLIPTextModel, told=False)
    reference = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    reference.scheduler = DDIMScheduler.from_config(reference.scheduler.config)
    reference.set_progress_bar_config(disable=True)
    reference.tokenizer.model_max_length = modules["text_encoder"].config.max_position_embeddings
    factor = 2 ** (len(modules["vae"].config.block_out_channels) - 1)
    # Of pixels: diffusers wants multiples of 8, and latents that every level can halve.
    side = max(8, factor * 2 ** (len(modules["unet"].config.block_out_channels) - 1))
    arguments = {"width": 2 * side, "height": side, "num_inference_steps": 4, "guidance_scale": 3.0}
    wanted = reference(
        "a b c",
        negative_prompt="b",
        generator=torch.Generator().manual_seed(seed),
        output_type="latent",
        **arguments,
    ).images
    with torch.inference_mode():
        pixels = reference.vae.decode(wanted / reference.vae.config.scaling_factor).sample
    picture = reference.image_processor.postprocess(pixels, output_type="pil")[0]
    wanted = wanted.numpy()
    with latentrt.load(folder, device="cpu") as pipeline:
        result = pipeline.txt2img("a b c", negative_prompt="b", seed=seed, **arguments)
    assert np.abs(wanted).max() > 0.1
    assert np.abs(result.latents - wanted).max() < 1e-3
    assert result.images[0].size == (2 * side, side)
    grey_levels = np.abs(np.asarray(result.images[0]).astype(int) - np.asarray(picture))
    assert np.mean(grey_levels <= 1) >= 0.999
