"""Every setting of a config is checked when it is asked for, and refused by name when nobody asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt.errors import ModelError
from latentrt.models.published import SD1_TEXT_ENCODER, SD1_UNET, SD1_VAE, TAESD
from latentrt.networks import BUILDERS, build
from latentrt.networks.options import Options

CONFIGS = {
    "text_encoder": SD1_TEXT_ENCODER,
    "unet": SD1_UNET,
    "vae_encoder": SD1_VAE,
    "vae_decoder": SD1_VAE,
    "taesd_decoder": TAESD,
    "unconditional_unet": {"_class_name": "UNet2DModel"},
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


def asked(value, method, *arguments):
    return getattr(Options("x/config.json", {"key": value}), method)("key", *arguments)


@pytest.mark.parametrize(
    ("method", "arguments", "value", "result"),
    [
        ("number", (3,), None, 3),
        ("number", (3,), 5, 5),
        ("number", (3, 0), 0, 0),
        ("real", (1e-5,), 2, 2.0),
        ("flag", (True,), None, False),
        ("flag", (True,), False, False),
        ("numbers", ((1, 2),), None, (1, 2)),
        ("numbers", ((1, 2),), [7], (7,)),
        ("per_level", (3, 2), 4, (4, 4, 4)),
        ("per_level", (3, 2), [4, 5, 6], (4, 5, 6)),
        ("blocks", (2, ("A", "B"), ("A", "A")), ["B", "A"], ("B", "A")),
        ("choice", ("silu", "swish"), None, "silu"),
        ("choice", (1,), 1.0, 1.0),
    ],
)
def test_what_is_taken(method, arguments, value, result):
    assert asked(value, method, *arguments) == result


@pytest.mark.parametrize(
    ("method", "arguments", "value", "expected"),
    [
        ("number", (3,), 0, "a whole number from 1 to"),
        ("number", (3,), True, "a whole number from 1 to"),
        ("number", (3,), 2.5, "a whole number from 1 to"),
        ("count", (3,), 10**9, "a whole number from 1 to 1000"),
        ("real", (1.0,), "x", "a finite number"),
        ("real", (1.0,), float("nan"), "a finite number"),
        ("real", (1.0,), 10**400, "a finite number"),
        ("real", (1.0, 0), -1e-9, "a finite number of 0 or more"),
        ("flag", (True,), "no", "true or false"),
        ("flag", (True,), 1, "true or false"),
        ("numbers", ((1,),), 5, "1 to 16 whole numbers"),
        ("numbers", ((1,),), [1] * 17, "1 to 16 whole numbers"),
        ("per_level", (3, 2), [4, 5], "or 3 of them"),
        ("blocks", (2, ("A", "B"), ("A", "A")), ["C", "A"], "2 blocks out of A, B"),
        ("blocks", (2, ("A", "B"), ("A", "A")), [[], {}], "2 blocks out of A, B"),
        ("choice", (False,), 0, "expected False"),
        ("choice", ("silu",), ["silu"], "expected 'silu'"),
    ],
)
def test_what_is_refused(method, arguments, value, expected):
    with pytest.raises(ModelError, match=r"x/config\.json: key is .*; expected .*") as error:
        asked(value, method, *arguments)
    assert expected in str(error.value)


def test_what_is_absent_is_the_default():
    o = Options("x", {})
    assert (o.flag("key", True), o.number("key", 3), o.is_null("key")) == (True, 3, False)


def test_what_nobody_asked_for_is_refused_unless_it_says_nothing():
    o = Options("x", {"read": 1, "_private": 1, "none": None, "off": False, "empty": [], "loud": 0.5})
    o.number("read", 2)
    with pytest.raises(ModelError, match="x: loud is 0.5; expected it to be absent"):
        o.finish()
    o.pass_over("loud")
    o.finish()


@pytest.mark.parametrize("component", CONFIGS)
def test_every_setting_of_every_network_is_looked_at(component):
    assert set(CONFIGS) == set(BUILDERS)
    with pytest.raises(ModelError, match=rf"{component}: config\.json: a_key_of_the_future is 'rotary'"):
        build(component, {**CONFIGS[component], "a_key_of_the_future": "rotary"})


@given(component=st.sampled_from(sorted(CONFIGS)), data=st.data())
def test_whatever_a_setting_says_it_is_taken_or_named(component, data):
    """No traceback of Python's, and no graph of any size that a number asks for."""
    config = {"num_hidden_layers": 2, "layers_per_block": 1} | CONFIGS[component]
    key = data.draw(st.sampled_from(sorted(config)))
    value = data.draw(ANYTHING)
    if component != "text_encoder":
        config.pop("num_hidden_layers")
    if component in ("text_encoder", "taesd_decoder"):
        config.pop("layers_per_block")
    try:
        build(component, {**config, key: value})
    except ModelError as error:
        assert str(error).startswith(f"{component}: config.json: ")


def test_no_such_component_and_no_such_class():
    with pytest.raises(
        ModelError, match="transformer: no such component; expected one of text_encoder, unet"
    ):
        build("transformer", {})
    with pytest.raises(ModelError, match=r"_class_name is 'UNet3DConditionModel'; expected 'UNet2D"):
        build("unet", {**SD1_UNET, "_class_name": "UNet3DConditionModel"})
    with pytest.raises(
        ModelError, match=r"architectures is \['CLIPModel'\]; expected \['CLIPTextModel'\] or"
    ):
        build("text_encoder", {**SD1_TEXT_ENCODER, "architectures": ["CLIPModel"]})
