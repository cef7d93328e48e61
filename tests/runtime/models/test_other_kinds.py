"""Files that are something else than a model, or a part of one, given as a model: each is named, and refused."""

import re
from pathlib import Path

import pytest
from kinds import CLIP_L, KINDS, SD1, SD2, VAE, XL
from single_files import shapes_of, stored, stored_text, stored_unet, stored_vae, write_header, write_kind

from latentrt.cli import main
from latentrt.errors import ModelError
from latentrt.models.bundle import open_model

TO_K = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k"
FILES = {
    "kohya's LoRA": (
        "a LoRA", {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": (4, 320, 1, 1)}
    ),
    "LoRA with alphas first": ("a LoRA", {"lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha": ()}),
    "peft's LoRA": (
        "a LoRA", {f"unet.{TO_K}.lora_A.weight": (4, 320), f"unet.{TO_K}.lora_B.weight": (320, 4)}
    ),
    "LoRA of peft itself": ("a LoRA", {f"base_model.model.{TO_K}.lora_A.default.weight": (4, 320)}),
    "LoRA of diffusers 0.2": ("a LoRA", {f"unet.{TO_K}.lora.down.weight": (4, 320)}),
    "LoRA of its text encoder": (
        "a LoRA",
        {"text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_linear_layer.down.weight": (4, 768)},
    ),
    "LoRA of its processors": (
        "a LoRA", {f"{TO_K.removesuffix('.to_k')}.processor.to_k_lora.down.weight": (4, 320)}
    ),
    "LoRA with generic names": (
        "a LoRA", {"diffusion_model.input_blocks.1.1.proj_in.lora_A.weight": (4, 320, 1, 1)}
    ),
    "LoHa": ("a LoRA", {"x.hada_w1_a": (320, 4)}),
    "LoKr of SimpleTuner": ("a LoRA", {"lycoris_down_blocks_0_attentions_0_proj_in.lokr_w1": (4, 4)}),
    "OFT": ("a LoRA", {"oft_unet_input_blocks_1_1_proj_in.oft_blocks": (4, 8, 8)}),
    "ControlNet": (
        "a ControlNet",
        {
            "control_model.input_blocks.0.0.weight": (320, 4, 3, 3),
            "control_model.zero_convs.0.0.weight": (320, 320, 1, 1),
        },
    ),
    "ControlNet without its prefix": (
        "a ControlNet", {"input_blocks.0.0.weight": (320, 4, 3, 3), "input_hint_block.0.weight": (16, 3, 3, 3)}
    ),
    "ControlNet of diffusers": (
        "a ControlNet",
        {
            "conv_in.weight": (320, 4, 3, 3),
            "time_embedding.linear_1.weight": (1280, 320),
            "controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3),
            "controlnet_cond_embedding.conv_out.weight": (320, 256, 3, 3),
            "controlnet_down_blocks.0.weight": (320, 320, 1, 1),
        },
    ),
    "ControlLLLite": ("a ControlNet", {"lllite_unet_input_blocks_4_1_proj.down.0.weight": (64, 640)}),
    "IP-Adapter": (
        "an IP-Adapter", {"image_proj.proj.weight": (3072, 1024), "ip_adapter.1.to_k_ip.weight": (320, 768)}
    ),
    "IP-Adapter of faces": ("an IP-Adapter", {"ip_adapter.0.to_q_lora.down.weight": (128, 320)}),
    "T2I-Adapter": ("a T2I-Adapter", {"adapter.body.0.block1.weight": (320, 320, 3, 3)}),
    "embedding": ("an embedding", {"emb_params": (3, 768)}),
    "embedding of SDXL": ("an embedding", {"clip_g": (3, 1280), "clip_l": (3, 768)}),
    "embedding of diffusers": ("an embedding", {"<cat-toy>": (768,)}),
    "ESRGAN": (
        "an upscaler", {"conv_first.weight": (64, 3, 3, 3), "body.0.rdb1.conv1.weight": (32, 64, 3, 3)}
    ),
    "ESRGAN, old names": (
        "an upscaler", {"model.0.weight": (64, 3, 3, 3), "model.1.sub.0.RDB1.conv1.0.weight": (32, 64, 3, 3)}
    ),
    "T5": (
        "a T5 text encoder",
        {"shared.weight": (32128, 4096), "encoder.block.0.layer.0.SelfAttention.q.weight": (4096, 4096)},
    ),
    "CLIP's image encoder": ("an image encoder", {"vision_model.embeddings.class_embedding": (1024,)}),
    "SD3": (
        "a Stable Diffusion 3",
        {"model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight": (4608, 1536)},
    ),
    "SD3 of diffusers": ("a Stable Diffusion 3", {"context_embedder.weight": (1536, 4096)}),
    "Flux": ("a Flux", {"double_blocks.0.img_attn.norm.key_norm.scale": (128,)}),
    "Flux of diffusers": (
        "a Flux",
        {
            "context_embedder.weight": (3072, 4096),
            "single_transformer_blocks.0.proj_mlp.weight": (12288, 3072),
        },
    ),
    "Cascade, stage C": ("a Stable Cascade", {"clip_txt_mapper.weight": (2048, 1280)}),
    "Cascade, stage B": ("a Stable Cascade", {"down_blocks.1.0.channelwise.0.weight": (2560, 640)}),
    "PixArt": ("a PixArt", {"t_block.1.weight": (6912, 1152)}),
    "PixArt of diffusers": ("a PixArt", {"adaln_single.linear.weight": (6912, 1152)}),
    "AnimateDiff": (
        "a video model", {"down_blocks.0.motion_modules.0.temporal_transformer.norm.weight": (320,)}
    ),
    "Wan": (
        "a video model",
        {"patch_embedding.weight": (1536, 16, 1, 2, 2), "blocks.0.cross_attn.q.weight": (1536, 1536)},
    ),
    "HunyuanVideo": (
        "a video model",
        {"double_blocks.0.img_attn.qkv.weight": (9216, 3072), "img_in.proj.weight": (3072, 16, 1, 2, 2)},
    ),
    "nothing known": ("holds no UNet, autoencoder or text encoder", {"weight": (3, 4)}),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_it_is_named_and_refused(name: str, tmp_path: Path) -> None:
    what, shapes = FILES[name]
    path = write_header(tmp_path / "model.safetensors", shapes)
    with pytest.raises(ModelError, match=what) as error:
        open_model(path)
    assert str(path) in str(error.value)
    assert "Expected a checkpoint" in str(error.value)


@pytest.mark.parametrize("name", ["Flux", "SD3", "PixArt"])
def test_with_an_autoencoder_and_a_text_encoder_like_ours(name: str, tmp_path: Path) -> None:
    what, shapes = FILES[name]
    shapes = {**shapes, **{name: tensor.shape for name, tensor in stored(KINDS["sd1"]).items()}}
    shapes = {name: shape for name, shape in shapes.items() if ".input_blocks." not in name}
    with pytest.raises(ModelError, match=what):
        open_model(write_header(tmp_path / "model.safetensors", shapes))


SD2_UNET, XL_UNET = shapes_of("unet", SD2), shapes_of("unet", XL)
TABLE = {"class_embedding.weight": (1000, 1280)}
ROW = "add_embedding.linear_1.weight"
KIN = {
    "unCLIP": ("an unCLIP", SD2_UNET | {ROW: (1280, 2048), "add_embedding.linear_2.weight": (1280, 1280)}, {}),
    "unCLIP of diffusers": ("an unCLIP", SD2_UNET, {"class_embedding.linear_1.weight": (1280, 2048)}),
    "Kolors": ("a Kolors", XL_UNET, {"encoder_hid_proj.weight": (2048, 4096)}),
    "Kolors, its row": ("a Kolors", XL_UNET | {ROW: (1280, 5632)}, {}),
    "told a class": ("told a class, and no x4 upscaler", SD2_UNET | TABLE, {}),
    "upscaler, not told": ("an upscaler of another kind", SD2_UNET | {"conv_in.weight": (320, 7, 3, 3)}, {}),
    "video": ("a video model", XL_UNET, {"down_blocks.0.motion_modules.0.temporal_transformer.norm.weight": (320,)}),
}  # fmt: skip


@pytest.mark.parametrize("ldm", [True, False], ids=["LDM", "diffusers"])
@pytest.mark.parametrize("name", KIN)
def test_kin_whose_unet_is_nearly_one_of_ours(name: str, ldm: bool, tmp_path: Path) -> None:
    what, shapes, more = KIN[name]
    if ldm:
        shapes = {key: tensor.shape for key, tensor in stored_unet(shapes, 2).items()}
        more = {f"model.diffusion_model.{key}": shape for key, shape in more.items()}
    with pytest.raises(ModelError, match=what):
        open_model(write_header(tmp_path / "model.safetensors", {**shapes, **more}))


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("sd2-depth", {"depth_model.model.pretrained.model.blocks.0.attn.qkv.weight": (2304, 768)}),
        ("x4", {"low_scale_model.sqrt_alphas_cumprod": (1000,)}),
    ],
)
def test_what_whole_files_hold_beside_their_networks_is_known(name: str, beside, tmp_path: Path) -> None:
    """A network that estimates depths, which are given here; the noise of the small picture, as published."""
    model = open_model(write_kind(tmp_path / "model.safetensors", KINDS[name], **beside))
    assert model.contents is not None
    assert model.contents.extras == tuple(beside) and not model.contents.unknown


@pytest.mark.parametrize("kind", ["unCLIP", "video"])
def test_whole_files_of_kin(kind: str, tmp_path: Path) -> None:
    """With what else their files hold."""
    over_time = "model.diffusion_model.input_blocks.1.0.time_stack.in_layers.2.weight"
    marks = {
        "unCLIP": (
            "an unCLIP",
            {
                "embedder.model.visual.conv1.weight": (1280, 3, 14, 14),
                "embedder.model.ln_final.weight": (1024,),
            },
        ),
        "video": ("a video model", {over_time: (320, 320, 3, 1, 1)}),
    }
    what, more = marks[kind]
    with pytest.raises(ModelError, match=what):
        open_model(write_kind(tmp_path / "model.safetensors", KINDS["sd2"], **more))


def test_parts_of_a_model(tmp_path: Path) -> None:
    vae = {name: tensor.shape for name, tensor in stored_vae(shapes_of("vae", VAE), "").items()}
    with pytest.raises(ModelError, match=r"holds an autoencoder, but no UNet.*Give it with --vae"):
        open_model(write_header(tmp_path / "vae.safetensors", vae))
    text = {name: tensor.shape for name, tensor in stored_text(shapes_of("text_encoder", CLIP_L), "").items()}
    with pytest.raises(ModelError, match=r"holds text encoders, but no UNet.*Give it with --text-encoder"):
        open_model(write_header(tmp_path / "clip.safetensors", text))


@pytest.mark.parametrize(
    ("without", "message"),
    [
        (("first_stage",), r"holds SDXL without autoencoder; add --vae FILE"),
        (("conditioner.",), r"without text encoder; add --text-encoder FILE"),
        (("conditioner.embedders.1",), r"without text encoder; add --text-encoder FILE"),
        (
            ("conditioner.", "first_stage"),
            r"without text encoder and autoencoder; add --text-encoder FILE --vae FILE",
        ),
    ],
)
def test_what_a_file_lacks_is_said_with_what_gives_it(
    without, message, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shapes = {n: t.shape for n, t in stored(KINDS["sdxl"]).items() if not n.startswith(without)}
    path = write_header(tmp_path / "model.safetensors", shapes)
    with pytest.raises(ModelError, match=message):
        open_model(path)
    assert main(["info", str(path), "--no-hash"]) == 0  # which tells what is there
    said = capsys.readouterr().out
    assert (
        re.search(rf"lacks .*{message}", said) and "unet (1680 tensors" in said and "predicts epsilon" in said
    )
    assert ("defaults   1024x1024" in said) == ("first_stage" not in without)


def test_a_second_encoder_without_its_projection(tmp_path: Path) -> None:
    shapes = {n: t.shape for n, t in stored(KINDS["sdxl"]).items() if not n.endswith("text_projection")}
    with pytest.raises(ModelError, match="its second text encoder has no text_projection"):
        open_model(write_header(tmp_path / "model.safetensors", shapes))


def test_encoders_of_a_kind(tmp_path: Path) -> None:
    shapes = {n: t.shape for n, t in stored(KINDS["sd1"]).items()}
    shapes |= {n: t.shape for n, t in stored_text(shapes_of("text_encoder", CLIP_L), "te.").items()}
    with pytest.raises(ModelError, match=r"has 2 text encoders; Stable Diffusion 1\.x has 1"):
        open_model(write_header(tmp_path / "model.safetensors", shapes))


def test_a_refiner_paints_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_kind(tmp_path / "sd_xl_refiner_1.0.safetensors", KINDS["refiner"])
    assert main(["generate", "a cat", "--model", str(path), "--out", str(tmp_path / "a.png")]) in (1, 2)
    said = capsys.readouterr().err
    assert "refiner" in said
    assert "Traceback" not in said


def test_a_truncated_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_kind(tmp_path / "model.safetensors", KINDS["sd1"])
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    assert main(["generate", "a cat", "--model", str(path), "--out", str(tmp_path / "a.png")]) == 1
    assert "truncated: tensor" in capsys.readouterr().err


def test_exit_code_of_a_lora(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_header(tmp_path / "style.safetensors", FILES["kohya's LoRA"][1])
    assert main(["generate", "a cat", "--model", str(path), "--out", str(tmp_path / "a.png")]) == 1
    said = capsys.readouterr().err
    assert "is a LoRA" in said
    assert "Traceback" not in said


def test_one_graph_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08\x12\x07pytorch")
    with pytest.raises(
        ModelError, match="is one graph; expected the folder that holds those of a whole model"
    ):
        open_model(tmp_path / "model.onnx")


@pytest.mark.parametrize("which", [0, 1])
def test_one_file_of_a_shard_set(which: int, tmp_path: Path) -> None:
    """Half a UNet is none."""
    shapes = list(shapes_of("unet", SD1).items())
    half = dict(shapes[: len(shapes) // 2] if which == 0 else shapes[len(shapes) // 2 :])
    path = write_header(tmp_path / f"diffusion_pytorch_model-0000{which + 1}-of-00002.safetensors", half)
    with pytest.raises(ModelError, match=r"is one of 2 files .* Give the folder of the whole model"):
        open_model(path)
