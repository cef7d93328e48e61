"""Checkpoints in one file at full size, of which only the header is there: what each is known for, and runs as."""

import pytest
from kinds import CLIP_L, KINDS, OPEN_CLIP_G, OPEN_CLIP_H, SD2_ENCODERS, Kind
from single_files import stored, write_header, write_kind

from latentrt.engine.session import find_parameter
from latentrt.errors import WeightsError
from latentrt.models.bundle import open_model
from latentrt.models.model import Model
from latentrt.networks import Variant, build

ENCODERS = {"text_encoder": CLIP_L, "text_encoder_2": OPEN_CLIP_G}


@pytest.fixture(scope="module", params=KINDS)
def kind(request) -> Kind:
    return KINDS[request.param]


@pytest.fixture(scope="module")
def model(kind: Kind, tmp_path_factory) -> Model:
    return open_model(write_kind(tmp_path_factory.mktemp("single") / "model.safetensors", kind))


def test_a_file_is_known_by_its_shapes(kind: Kind, model: Model) -> None:
    assert model.family == kind.called
    assert model.contents is not None
    assert model.contents.unknown == model.contents.extras == ()
    assert len(model.components["unet"].weights) == kind.tensors
    assert model.components["unet"].weights.num_parameters == kind.parameters


def test_its_unet_is_that_of_the_published_config(kind: Kind, model: Model) -> None:
    """To the byte: the same nodes, over the same parameters."""
    unet = model.components["unet"]
    graph = unet.graph(Variant())
    published = {**kind.unet, "upcast_attention": kind.encoders is SD2_ENCODERS}
    assert graph.serialize() == build("unet", published).serialize()
    for parameter in graph.parameters:
        find_parameter("unet", parameter, unet.weights)


def test_a_file_says_what_no_tensor_does(kind: Kind, model: Model) -> None:
    xl, x4 = kind.unet.get("addition_embed_type") is not None, kind is KINDS["x4"]
    assert model.default_size == ((1024, 1024) if xl else (512, 512))
    assert model.components["vae_decoder"].config["scaling_factor"] == (
        0.13025 if xl else 0.08333 if x4 else 0.18215
    )
    assert model.components["vae_decoder"].fp32_only == (xl or x4)
    assert model.scheduler_config.get("prediction_type", "epsilon") == ("v_prediction" if x4 else "epsilon")
    assert bool(model.low_res_config) == x4
    later = kind.encoders is SD2_ENCODERS
    signs = {name for name in model.text_encoders if name == "text_encoder_2" or later}
    assert {name for name, pad in model.pad_tokens.items() if pad == "!"} == signs
    assert model.pad_tokens.keys() == set(model.text_encoders)


@pytest.mark.parametrize("name", ["sd1", "sd2", "x4", "sdxl", "refiner"])
def test_its_other_networks_are_published_ones(name: str, tmp_path) -> None:
    kind = KINDS[name]
    model = open_model(write_kind(tmp_path / "model.safetensors", kind))
    published = {"vae_encoder": kind.vae, "vae_decoder": kind.vae}
    published |= {name: ENCODERS[name] for name in model.text_encoders}
    if kind.encoders is SD2_ENCODERS:  # the last layer is never used
        published["text_encoder"] = OPEN_CLIP_H
    assert len(model.text_encoders) == len(kind.encoders)
    assert model.components.keys() == {*published, "unet"}
    for name, config in published.items():
        ours = model.components[name].graph(Variant())
        # Published encoders say 2 for the end of the text, which stands for the highest id: the same token.
        end = {"eos_token_id": 49407} if name in model.text_encoders else {}
        wanted = build(name.removesuffix("_2"), {**config, **end})
        assert ours.serialize() == wanted.serialize()
        for parameter in ours.parameters:
            find_parameter(name, parameter, model.components[name].weights)


def test_float8_that_lost_its_scales_is_not_painted(tmp_path) -> None:
    shapes = {name: tensor.shape for name, tensor in stored(KINDS["sd1"]).items()}
    plain = write_header(tmp_path / "plain.safetensors", shapes, dtype="F8_E4M3")
    assert open_model(plain).components["unet"].weights.dtypes == ("F8_E4M3",)
    marked = write_header(
        tmp_path / "marked.safetensors", shapes | {"model.diffusion_model.scaled_fp8": (2,)}, dtype="F8_E4M3"
    )
    with pytest.raises(
        WeightsError, match="scaled_fp8 says that its float8 weights are scaled, and it holds no"
    ):
        open_model(marked)
