"""The recipe of savings: what it may say, where it is refused, and how it is told and read back."""

import pytest
from grey_pipeline import MODEL

import latentrt
from latentrt import Fast
from latentrt.errors import InputError, SettingError
from latentrt.painting.fast import LEVELS, FastKind
from latentrt.painting.parameters import parameters_of
from latentrt.painting.request_maker import make_request
from latentrt.pictures.metadata import format_parameters

ASKED = {"num_inference_steps": 20, "seed": 1}


@pytest.mark.parametrize(
    ("text", "recipe", "written"),
    [
        ("off", Fast(), "off"),
        ("cache=1", Fast(), "off"),
        ("cache=2.5", Fast(cache=2.5), "cache=2.5"),
        ("guidance=0-0.8 cache=3", Fast(cache=3, guidance=(0, 0.8)), "cache=3,guidance=0-0.8"),
        ("Guidance=0.125-1", Fast(guidance=(0.125, 1)), "guidance=0.125-1"),
        ("decoder=TAESD cache=2", Fast(cache=2, decoder="taesd"), "cache=2,decoder=taesd"),
        ("strong", Fast(**LEVELS["strong"]), "cache=3"),
    ],
)
def test_a_text_is_a_recipe_and_comes_back(text, recipe, written):
    kind = FastKind()
    assert kind.read("fast", text) == kind.check("fast", text) == kind.check("fast", recipe) == recipe
    assert str(recipe) == written
    assert kind.read("fast", written) == recipe


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("fastest", "expected off, one of light, balanced, strong, extreme, or a recipe as "),
        ("", "expected off, one of light"),
        ("cache", "expected off, one of light"),
        ("cache=2,cache=3", "expected off, one of light"),
        ("cache=0.5", "cache: expected a number from 1 to 100, got 0.5"),
        ("cache=x", "cache: expected a finite number, got 'x'"),
        ("guidance=0.8-0.2", r"guidance: expected \(start, end\) with 0 <= start < end <= 1"),
        ("decoder=tiny", "decoder: expected one of vae, taesd, got 'tiny'"),
        (3, "expected a latentrt.Fast, or off, one of light"),
    ],
)
def test_what_is_no_recipe_is_refused(value, message):
    with pytest.raises(SettingError, match=f"^fast: {message}"):
        FastKind().check("fast", value)


def test_a_record_checks_its_parts():
    with pytest.raises(SettingError, match="fast: cache: expected a number from 1 to 100, got 101"):
        Fast(cache=101)
    assert Fast(guidance=[0, 0.5]).guidance == (0.0, 0.5)


def test_guidance_is_in_its_shares_alone_and_said_once():
    fast = make_request(MODEL, "txt2img", "x", fast="guidance=0-0.5", **ASKED)
    plain = make_request(MODEL, "txt2img", "x", guidance_interval=(0, 0.5), **ASKED)
    assert fast.guidance == plain.guidance
    (parameters,) = parameters_of(fast, MODEL)
    assert dict(parameters.extra) == {"Fast": "guidance=0-0.5"}
    with pytest.raises(SettingError, match="fast: guidance: does not go beside guidance_interval"):
        make_request(MODEL, "txt2img", "x", fast="guidance=0-0.5", guidance_interval=(0, 0.8), **ASKED)


def test_the_text_tells_the_recipe_and_not_the_level():
    (parameters,) = parameters_of(make_request(MODEL, "txt2img", "x", fast="balanced", **ASKED), MODEL)
    assert parameters.told["fast"] == "cache=2.2"
    recalled = latentrt.recall(format_parameters(parameters))
    assert recalled["fast"] == Fast(cache=2.2)
    assert latentrt.recall(format_parameters(parameters), fast=Fast())["fast"] == Fast()


def test_nobody_elses_text_says_it():
    text = "x\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 16x16, Fast: cache=3, Version: v1.10.1"
    with pytest.warns(latentrt.NotHeeded, match="Fast"):
        assert "fast" not in latentrt.recall(text)


def test_a_recipe_of_python_may_be_a_text():
    assert make_request(MODEL, "txt2img", "x", fast="strong", **ASKED).fast == Fast(cache=3)
    with pytest.raises(InputError, match="fast: "):
        make_request(MODEL, "txt2img", "x", fast=2, **ASKED)
