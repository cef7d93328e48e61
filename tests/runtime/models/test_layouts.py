"""Single files in the layouts that programs give them, with what they have besides, and parts given beside a model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kinds import CLIP_L, KINDS, OPEN_CLIP_G, OPEN_CLIP_H, VAE, Kind
from single_files import Shapes, shapes_of, stored, stored_text, stored_unet, stored_vae, write_header

from latentrt.errors import ModelError
from latentrt.models.bundle import open_model
from latentrt.models.model import Model
from latentrt.models.replacing import make_replacements
from latentrt.networks import Variant

TEXT = "conditioner.embedders.0.transformer."


def whole(kind: str) -> Shapes:
    return {name: tensor.shape for name, tensor in stored(KINDS[kind]).items()}


def renamed(shapes: Shapes, **prefixes: str) -> Shapes:
    """Prefixes by others; dots as double lines."""
    for old, new in prefixes.items():
        old = old.replace("__", ".")
        shapes = {new + n.removeprefix(old) if n.startswith(old) else n: s for n, s in shapes.items()}
    return shapes


def in_diffusers(kind: Kind, unet: str, vae: str, *text: str) -> Shapes:
    encoders = zip(text, kind.encoders.values(), strict=True)
    made = {unet + name: shape for name, shape in shapes_of("unet", kind.unet).items()}
    made |= {vae + name: shape for name, shape in shapes_of("vae", VAE).items()}
    for prefix, config in encoders:
        made |= {prefix + name: shape for name, shape in shapes_of("text_encoder", config).items()}
    return made


def with_prefix(shapes: Shapes, prefix: str) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def check(model: Model, kind: Kind) -> None:
    """Every graph finds its tensors."""
    assert model.family == kind.called
    assert len(model.text_encoders) == len(kind.encoders)
    assert {"vae_encoder", "vae_decoder"} < model.components.keys()
    for name, component in model.components.items():
        for tensor, shape in shapes_of(name.removesuffix("_2"), component.config).items():
            found = component.weights.find(tensor, shape)
            assert found is not None
            assert found.shape == shape


LAYOUTS: dict[str, tuple[str, Callable[[], Shapes]]] = {
    "all in one, in diffusers' names": ("sd1", lambda: in_diffusers(KINDS["sd1"], "unet.", "vae.", "te.")),
    "SDXL likewise": ("sdxl", lambda: in_diffusers(KINDS["sdxl"], "unet.", "vae.", "te.", "te.1.")),
    "as ComfyUI saves": (
        "sdxl",
        lambda: renamed(
            in_diffusers(KINDS["sdxl"], "unet.", "vae.", "l.", "g."),
            l__="text_encoders.clip_l.transformer.", g__="text_encoders.clip_g.transformer.",
        ),
    ),
    "a VAE in diffusers' names": (
        "sd1",
        lambda: {n: s for n, s in whole("sd1").items() if not n.startswith("first_stage_model.")}
        | with_prefix(shapes_of("vae", VAE), "first_stage_model."),
    ),
    "SD 2 in sgm's names": (
        "sd2", lambda: renamed(whole("sd2"), cond_stage_model__model__="conditioner.embedders.0.model.")
    ),
    "SD 2 in transformers' names": (
        "sd2",
        lambda: {n: s for n, s in whole("sd2").items() if not n.startswith("cond_stage_model.")}
        | with_prefix(shapes_of("text_encoder", OPEN_CLIP_H), "cond_stage_model.transformer."),
    ),
    "a text encoder without its first word": (
        "sd1",
        lambda: {n.replace("transformer.text_model.", "transformer."): s for n, s in whole("sd1").items()},
    ),
    "a linear projection already": (
        "sdxl",
        lambda: {n.replace("text_projection", "text_projection.weight"): s for n, s in whole("sdxl").items()},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str, tmp_path: Path) -> None:
    kind, make = LAYOUTS[name]
    model = open_model(write_header(tmp_path / "m.safetensors", make()))
    check(model, KINDS[kind])
    assert model.contents is not None
    assert model.contents.unknown == ()


@pytest.mark.parametrize("kind", ["sd1", "sd2"])
def test_projections_are_matrices_or_convolutions(kind: str, tmp_path: Path) -> None:
    """Either form of either family is in circulation."""
    shapes = {}
    for name, shape in whole(kind).items():
        if name.endswith(("proj_in.weight", "proj_out.weight")) and "attn_1" not in name:
            shape = shape[:2] if len(shape) == 4 else (*shape, 1, 1)
        shapes[name] = shape
    check(open_model(write_header(tmp_path / "m.safetensors", shapes)), KINDS[kind])


@pytest.mark.parametrize("axes", [(), (1,), (1, 1)])
def test_the_autoencoders_attention_is_of_any_axes(axes: tuple[int, ...], tmp_path: Path) -> None:
    shapes = {
        name: (*shape[:2], *axes) if ".attn_1." in name and len(shape) == 4 else shape
        for name, shape in whole("sd1").items()
    }
    check(open_model(write_header(tmp_path / "m.safetensors", shapes)), KINDS["sd1"])


EXTRAS: Shapes = {
    "alphas_cumprod": (1000,), "sqrt_alphas_cumprod": (1000,), "betas": (1000,), "posterior_variance": (1000,),
    "denoiser.sigmas": (1000,), "model_ema.decay": (), "model_ema.num_updates": (),
    "model_ema.diffusion_modelinput_blocks00weight": (320, 4, 3, 3), "first_stage_model.loss.logvar": (),
    "first_stage_model.model_ema.decay": (), "embedding_manager.embedder.weight": (1, 2), "global_step": (),
    f"{TEXT}text_model.embeddings.position_ids": (1, 77), "conditioner.embedders.1.model.logit_scale": (),
    "cond_stage_model.model.transformer.text_model.embeddings.position_ids": (1, 77),
}  # fmt: skip


def test_harmless_extras_pass_in_silence(tmp_path: Path) -> None:
    """position_ids as half numbers, too, as merges leave them."""
    model = open_model(write_header(tmp_path / "m.safetensors", whole("sdxl") | EXTRAS))
    check(model, KINDS["sdxl"])
    assert model.contents is not None
    assert sorted(model.contents.extras) == sorted(EXTRAS)
    assert model.contents.unknown == model.notes == ()


def test_what_is_not_known_is_counted(tmp_path: Path) -> None:
    model = open_model(write_header(tmp_path / "m.safetensors", whole("sd1") | {"model.odd.weight": (3,)}))
    assert model.contents is not None
    assert model.contents.unknown == ("model.odd.weight",)


def header(path: Path, shapes: Shapes) -> Path:
    return write_header(path, shapes)


def bare(prefix: str, kind: str) -> Shapes:
    return {n.removeprefix(prefix): s for n, s in whole(kind).items() if n.startswith(prefix)}


UNETS = {
    "LDM": lambda kind: {n: s for n, s in whole(kind).items() if n.startswith("model.diffusion_model.")},
    "LDM without prefix": lambda kind: bare("model.diffusion_model.", kind),
    "diffusers": lambda kind: shapes_of("unet", KINDS[kind].unet),
}


@pytest.mark.parametrize(
    ("name", "kind"), [("LDM", "sdxl"), ("LDM without prefix", "sd1"), ("diffusers", "sd1")]
)
def test_a_unet_alone(name: str, kind: str, tmp_path: Path) -> None:
    """With the rest from files, or in place of a model's own."""
    path = header(tmp_path / "unet.safetensors", UNETS[name](kind))
    with pytest.raises(ModelError, match="without text encoder and autoencoder; add"):
        open_model(path)
    rest = header(tmp_path / "rest.safetensors", whole(kind))
    check(open_model(path, make_replacements(vae=rest, text_encoder=rest)), KINDS[kind])
    model = open_model(rest, make_replacements(unet=path))
    check(model, KINDS[kind])
    assert model.components["unet"].weights.files == (path,)
    assert model.components["vae_decoder"].weights.files == (rest,)
    assert model.entries == (("UNet", "unet"),)


def test_few_steps_come_with_a_unet(tmp_path: Path) -> None:
    base = header(tmp_path / "base.safetensors", whole("sdxl"))
    unet = header(tmp_path / "sdxl_lightning_4step_unet.safetensors", UNETS["diffusers"]("sdxl"))
    model = open_model(base, make_replacements(unet=unet))
    assert model.scheduler_config["timestep_spacing"] == "trailing"
    assert model.defaults["num_inference_steps"] == 4
    assert "Lightning" in model.notes[-1]
    given = make_replacements(unet=unet, prediction_type="v_prediction")
    assert open_model(base, given).scheduler_config["prediction_type"] == "v_prediction"


@pytest.mark.parametrize("said", [{"prediction_type": "v"}, {}])
def test_what_a_unets_metadata_say_counts(said: dict[str, str], tmp_path: Path) -> None:
    base = header(tmp_path / "base.safetensors", {**whole("sdxl"), "v_pred": (0,)})
    unet = write_header(tmp_path / "unet.safetensors", UNETS["LDM"]("sdxl"), metadata=said)
    model = open_model(base, make_replacements(unet=unet))
    assert model.scheduler_config["prediction_type"] == "v_prediction"
    plain = header(tmp_path / "plain.safetensors", whole("sdxl"))
    wanted = "v_prediction" if said else "epsilon"
    assert open_model(plain, make_replacements(unet=unet)).scheduler_config["prediction_type"] == wanted


VAES = {
    "LDM": lambda: bare("first_stage_model.", "sd1"),
    "LDM with prefix": lambda: {n: s for n, s in whole("sd1").items() if n.startswith("first_stage_model.")},
    "of ComfyUI": lambda: with_prefix(bare("first_stage_model.", "sd1"), "vae."),
    "diffusers": lambda: shapes_of("vae", VAE),
    "old diffusers": lambda: {
        n.replace("to_q", "query").replace("to_k", "key").replace("to_v", "value").replace("to_out.0", "proj_attn"): s
        for n, s in shapes_of("vae", VAE).items()
    },
    "a whole model": lambda: whole("sd1"),
}  # fmt: skip


@pytest.mark.parametrize("name", VAES)
def test_a_vae_alone(name: str, tmp_path: Path) -> None:
    vae = header(tmp_path / "vae.safetensors", VAES[name]())
    kind = "sdxl" if name == "LDM" else "sd1"
    without = {n: s for n, s in whole(kind).items() if not n.startswith("first_stage_model.")}
    for shapes in (without, whole(kind)):
        base = header(tmp_path / "base.safetensors", shapes)
        model = open_model(base, make_replacements(vae=vae))
        check(model, KINDS[kind])
        assert model.components["vae_encoder"].weights.files == (vae,)
        xl = kind == "sdxl"
        assert model.components["vae_decoder"].config["scaling_factor"] == (0.13025 if xl else 0.18215)
        assert model.components["vae_decoder"].fp32_only == xl


def test_a_vae_of_other_pixels(tmp_path: Path) -> None:
    base = header(tmp_path / "base.safetensors", whole("sd1"))
    vae = header(tmp_path / "x4.safetensors", whole("x4"))
    with pytest.raises(
        ModelError,
        match="its autoencoder makes 4 pixels of a latent's side, that of base 8: it is of another",
    ):
        open_model(base, make_replacements(vae=vae))


def test_a_vae_of_other_channels(tmp_path: Path) -> None:
    base = header(tmp_path / "base.safetensors", whole("sd1"))
    shapes = {n: t.shape for n, t in stored_vae(shapes_of("vae", {**VAE, "latent_channels": 16}), "").items()}
    vae = header(tmp_path / "vae.safetensors", shapes)
    with pytest.raises(ModelError, match="its latents have 16 channels; the UNet of base paints 4"):
        open_model(base, make_replacements(vae=vae))


G = {n: t.shape for n, t in stored_text(shapes_of("text_encoder", OPEN_CLIP_G), "model.").items()}
ENCODERS = {
    "L": ("text_encoder", shapes_of("text_encoder", CLIP_L)),
    "G": ("text_encoder_2", {n.removeprefix("model."): s for n, s in G.items()}),
    "G of transformers": ("text_encoder_2", shapes_of("text_encoder", OPEN_CLIP_G)),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_text_encoder_alone(name: str, tmp_path: Path) -> None:
    """In place of the one that it is like."""
    role, shapes = ENCODERS[name]
    path = header(tmp_path / "text.safetensors", shapes)
    base = header(tmp_path / "base.safetensors", whole("sdxl"))
    model = open_model(base, make_replacements(text_encoder=path))
    check(model, KINDS["sdxl"])
    own = open_model(base).components[role]
    assert model.components[role].weights.files == (path,)
    assert model.components[role].graph(Variant()).serialize() == own.graph(Variant()).serialize()
    assert model.pad_tokens[role] == ("!" if role == "text_encoder_2" else "<|endoftext|>")


def test_both_text_encoders_from_two_files(tmp_path: Path) -> None:
    files = [header(tmp_path / f"{name}.safetensors", ENCODERS[name][1]) for name in "GL"]
    shapes = {n: s for n, s in whole("sdxl").items() if not n.startswith("conditioner.")}
    base = header(tmp_path / "base.safetensors", shapes)
    check(open_model(base, make_replacements(text_encoder=files)), KINDS["sdxl"])


@pytest.mark.parametrize("second", ["sdxl", "l"])
def test_an_encoder_that_is_given_twice_is_refused(second: str, tmp_path: Path) -> None:
    files = {
        "base": header(tmp_path / "base.safetensors", whole("sdxl")),
        "sdxl": header(tmp_path / "other.safetensors", whole("sdxl")),
        "l": header(tmp_path / "l.safetensors", shapes_of("text_encoder", CLIP_L)),
    }
    with pytest.raises(
        ModelError, match=r"holds the text_encoder that .*l\.safetensors gives already; expected each .* once"
    ):
        open_model(files["base"], make_replacements(text_encoder=[files["l"], files[second]]))


def test_stable_diffusion_2s_encoder_alone(tmp_path: Path) -> None:
    """Without its last layer, whatever the file has."""
    shapes = {n: s for n, s in whole("sd2").items() if n.startswith("cond_stage_model.")}
    path = header(tmp_path / "text.safetensors", shapes)
    base = header(tmp_path / "base.safetensors", whole("sd2"))
    model = open_model(base, make_replacements(text_encoder=path))
    assert model.components["text_encoder"].config["num_hidden_layers"] == 23
    check(model, KINDS["sd2"])


@pytest.mark.parametrize(
    ("option", "shapes", "message"),
    [
        ("vae", lambda: shapes_of("text_encoder", CLIP_L), "holds no autoencoder; expected an autoencoder"),
        ("unet", lambda: shapes_of("vae", VAE), "holds no UNet; expected a UNet"),
        ("text_encoder", lambda: shapes_of("vae", VAE), "holds no text encoder; expected a text encoder"),
        ("unet", lambda: whole("sd2"), r"does not go with base: its cross_attention_dim is 1024"),
        ("text_encoder", lambda: whole("sd2"), r"its text encoder is 1024 wide, that of base 768"),
    ],
)
def test_parts_that_do_not_go_with_the_model(option, shapes, message, tmp_path: Path) -> None:
    base = header(tmp_path / "base.safetensors", whole("sd1"))
    part = header(tmp_path / "part.safetensors", shapes())
    with pytest.raises(ModelError, match=message):
        open_model(base, make_replacements(**{option: part}))


def test_an_ema_copy_is_left_alone(tmp_path: Path) -> None:
    """The plain weights count, as in every program."""
    copy = {
        f"model_ema.{name.removeprefix('model.').replace('.', '')}": shape
        for name, shape in whole("sd1").items()
        if name.startswith("model.")
    }
    model = open_model(write_header(tmp_path / "m.safetensors", whole("sd1") | copy))
    check(model, KINDS["sd1"])
    assert model.contents is not None
    assert len(model.contents.extras) == 686


def test_a_unet_in_its_names_and_another_below_others(tmp_path: Path) -> None:
    """A whole ControlNet's file has the model's UNet, too."""
    control = {
        name.replace("model.diffusion_model.", "control_model."): shape
        for name, shape in stored_unet_shapes().items()
        if "output_blocks" not in name and ".out." not in name
    }
    control |= {"control_model.zero_convs.0.0.weight": (320, 320, 1, 1)}
    model = open_model(write_header(tmp_path / "m.safetensors", whole("sd1") | control))
    check(model, KINDS["sd1"])


def stored_unet_shapes() -> Shapes:
    return {n: t.shape for n, t in stored_unet(shapes_of("unet", KINDS["sd1"].unet), 2).items()}


def folder(path: Path, config: dict) -> Path:
    """A network as diffusers saves it, of which nobody reads the weights."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("says", "overflows"), [({}, True), ({"force_upcast": False}, False), ({"force_upcast": None}, True)]
)
def test_a_vae_from_a_folder(says: dict, overflows: bool, tmp_path: Path) -> None:
    """Alone, or in a model's; it overflows in fp16 unless it says otherwise, and for SDXL alone."""
    vae = folder(tmp_path / "model" / "vae", {**VAE, "scaling_factor": 0.5, **says})
    for kind in ("sdxl", "sd1"):
        base = header(tmp_path / "base.safetensors", whole(kind))
        for path in (vae, vae.parent):
            decoder = open_model(base, make_replacements(vae=path)).components["vae_decoder"]
            assert decoder.folder == vae
            assert decoder.config["scaling_factor"] == 0.5
            assert decoder.fp32_only == (overflows and kind == "sdxl")


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_text_encoder_from_a_folder(wrapped: bool, tmp_path: Path) -> None:
    path = folder(tmp_path / "clip", {"text_config": CLIP_L} if wrapped else CLIP_L)
    base = header(tmp_path / "base.safetensors", whole("sd1"))
    model = open_model(base, make_replacements(text_encoder=path))
    assert model.components["text_encoder"].config == CLIP_L
    assert model.components["text_encoder"].folder == path


@pytest.mark.parametrize("config", [VAE, {"hidden_size": "x"}, {**CLIP_L, "hidden_size": 1024}, {}])
def test_a_folder_that_is_no_text_encoder_of_the_model(config: dict, tmp_path: Path) -> None:
    path = folder(tmp_path / "other", config)
    base = header(tmp_path / "base.safetensors", whole("sd1"))
    with pytest.raises(ModelError, match="other"):
        open_model(base, make_replacements(text_encoder=path))
