"""Whole models without torch: the demo's configuration, or SDXL's in its widths, with random weights."""

import json
import shutil
from pathlib import Path

import pytest
from random_models import change, copy_configs, fill

from latentrt.models.layout import LOW_RES_CONFIG
from latentrt.models.published import LOW_RES_SCHEDULER, TAESD


@pytest.fixture(scope="session")
def random_model(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("random") / "random-model"
    copy_configs(root)
    fill(root)
    return root


@pytest.fixture(scope="session")
def random_xl(tmp_path_factory) -> Path:
    """Two text encoders of 128 and 64, of which the second pools to 48."""
    root = tmp_path_factory.mktemp("random") / "random-xl"
    copy_configs(root)
    for name in ("text_encoder", "tokenizer"):
        shutil.copytree(root / name, root / f"{name}_2")
    change(
        root / "text_encoder_2" / "config.json",
        hidden_size=64,
        hidden_act="gelu",
        projection_dim=48,
        architectures=["CLIPTextModelWithProjection"],
    )
    change(
        root / "unet" / "config.json",
        cross_attention_dim=128 + 64,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=48 + 6 * 8,
    )
    change(
        root / "model_index.json",
        _class_name="StableDiffusionXLPipeline",
        text_encoder_2=["transformers", "CLIPTextModelWithProjection"],
        tokenizer_2=["transformers", "CLIPTokenizer"],
    )
    fill(root)
    return root


@pytest.fixture(scope="session")
def random_edit(tmp_path_factory) -> Path:
    """One that edits pictures, as InstructPix2Pix."""
    root = tmp_path_factory.mktemp("random") / "random-edit"
    copy_configs(root)
    change(root / "unet" / "config.json", in_channels=8)
    fill(root)
    return root


@pytest.fixture(scope="session")
def random_depth(tmp_path_factory) -> Path:
    """One that paints after a map of depths, as Stable Diffusion 2's."""
    root = tmp_path_factory.mktemp("random") / "random-depth"
    copy_configs(root)
    change(root / "unet" / "config.json", in_channels=5)
    fill(root)
    return root


@pytest.fixture(scope="session")
def random_x4(tmp_path_factory) -> Path:
    """One that enlarges pictures, as the x4 upscaler, by its own autoencoder's factor; up to a noise level of 300."""
    root = tmp_path_factory.mktemp("random") / "random-x4"
    copy_configs(root)
    change(root / "unet" / "config.json", in_channels=7, num_class_embeds=400)
    change(
        root / "model_index.json",
        low_res_scheduler=["diffusers", "DDPMScheduler"],
        max_noise_level=300,
    )
    (root / "low_res_scheduler").mkdir()
    (root / LOW_RES_CONFIG).write_text(json.dumps(LOW_RES_SCHEDULER))
    fill(root)
    return root


@pytest.fixture(scope="session")
def random_tiny(tmp_path_factory) -> Path:
    """One whose autoencoder is TAESD's kind, of a fourth of its width."""
    root = tmp_path_factory.mktemp("random") / "random-tiny"
    copy_configs(root)
    widths = {f"{half}_block_out_channels": [16] * 4 for half in ("encoder", "decoder")}
    (root / "vae" / "config.json").write_text(json.dumps(TAESD | widths))
    change(root / "model_index.json", vae=["diffusers", "AutoencoderTiny"])
    fill(root)
    return root
