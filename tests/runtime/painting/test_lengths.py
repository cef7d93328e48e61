"""Prompts longer than a row, and of unequal length; and guidance below 1, with a program."""

import warnings

import numpy as np
import pytest
from a1111_cases import asked, read_case

import latentrt
from latentrt import SettingError
from latentrt.painting import conditions
from latentrt.painting.budget import Plan, predict
from latentrt.painting.conditions import common_length, condition, ended, levelled, padded
from latentrt.painting.denoiser import Denoiser
from latentrt.painting.guidance import make_guidance
from latentrt.painting.passes import Pass
from latentrt.painting.recall import NotHeeded, recall
from latentrt.painting.request_maker import make_request
from latentrt.schedule import Evaluation
from latentrt.schedule.prediction import Prediction

QUICK = {"width": 64, "height": 64, "num_inference_steps": 2, "seed": 3, "sampler": "euler"}
SHORT = "a small blue ring"
LONG = "a large red star, " * 9 + "on a white background"


@pytest.fixture(scope="module")
def demo():
    with latentrt.load("demo", device="cpu", dtype="fp32") as pipeline:
        yield pipeline


@pytest.mark.parametrize("name", ["prompt_long_negative", "prompt_long_padded"])
def test_automatic1111s_conditionings(name, demo, data_file):
    case = read_case(data_file("a1111/index.json"), name)
    request = make_request(demo.model, "txt2img", case.settings["prompt"], **asked(case))
    negative, prompt = condition(demo.text, request)
    for kind, told in (("uncond", negative), ("cond", prompt)):
        ((wanted, _),) = case.conditionings(kind, 0)
        states = told["encoder_hidden_states"]
        np.testing.assert_allclose(states[: len(wanted)], wanted, rtol=0, atol=1e-5)
        if name == "prompt_long_negative":
            assert len(states) == len(wanted)  # apart
    if name == "prompt_long_padded":
        assert len(negative["encoder_hidden_states"]) == len(prompt["encoder_hidden_states"])


@pytest.mark.parametrize("like", ["a1111", "forge", "comfyui"])
def test_a_prompt_that_fits_a_row_is_told_as_ever(demo, like):
    pairs = [
        condition(
            demo.text, make_request(demo.model, "txt2img", SHORT, **QUICK, like=name, negative_prompt="grey")
        )
        for name in ("diffusers", like)
    ]
    for ours, theirs in zip(*pairs, strict=True):
        np.testing.assert_array_equal(ours["encoder_hidden_states"], theirs["encoder_hidden_states"])
    assert len({len(told["encoder_hidden_states"]) for told in pairs[1]}) == 1


class Unet:
    """A network that looks at every state that it is told, on the average."""

    def __init__(self):
        self.batches = []

    def run(self, feeds):
        context = feeds["encoder_hidden_states"]
        self.batches.append(len(context))
        told = context.mean(axis=(1, 2)).reshape(-1, 1, 1, 1)
        return {"out_sample": feeds["sample"] + told}


def test_what_is_of_unequal_length_is_evaluated_apart():
    prompt, negative = (
        {"encoder_hidden_states": np.full((2, length, 5), value, np.float32)}
        for length, value in ((3, 0.5), (6, -0.25))
    )
    unet = Unet()
    guidance = make_guidance(3.0, 1)
    denoiser = Denoiser(unet.run, prompt, negative, guidance, Prediction("epsilon"))
    x = np.ones((2, 4, 2, 2), np.float32)
    at = Evaluation(0, 1.0, 500.0, 0.0)
    got = denoiser(x, at)
    assert unet.batches == [2, 2]
    alone = [
        Denoiser(unet.run, told, None, make_guidance(1.0, 1), Prediction("epsilon"))(x, at)
        for told in (prompt, negative)
    ]
    np.testing.assert_allclose(got, alone[1] + 3 * (alone[0] - alone[1]), rtol=1e-6)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (77, 77, 77),
        (77, 154, 154),
        (154, 231, 462),
        (77, 308, 308),
        (77, 385, None),
        (231, 308, 924),
        (385, 308, None),
    ],
)
def test_the_length_that_both_are_repeated_to(one, other, expected):
    assert common_length(one, other) == common_length(other, one) == expected


def told(*values):
    return {"encoder_hidden_states": np.array(values, np.float32)[:, None], "text_embeds": np.ones(3)}


def states(*conditionings):
    return [one["encoder_hidden_states"][:, 0].tolist() for one in conditionings]


def test_how_both_become_of_one_length():
    short, long, nothing = told(1, 2), told(3, 4, 5, 6), told(8, 9)
    assert states(*padded(short, long, nothing)) == [[1, 2, 8, 9], [3, 4, 5, 6]]
    assert states(*padded(long, short, nothing)) == [[3, 4, 5, 6], [1, 2, 8, 9]]
    assert states(*levelled(short, long)) == [[1, 2, 1, 2], [3, 4, 5, 6]]
    assert states(*levelled(told(1, 2), told(3, 4, 5)))[1] == [3, 4, 5, 3, 4, 5]
    assert states(*levelled(told(1), told(1, 2, 3, 4, 5))) == [[1], [1, 2, 3, 4, 5]]  # too much more
    assert states(ended(short, 4), ended(long, 3)) == [[1, 2, 2, 2], [3, 4, 5]]


@pytest.mark.parametrize(("prompt", "negative"), [(LONG, SHORT), (SHORT, LONG), (LONG, LONG + LONG)])
def test_repeated_and_apart_are_one_picture(demo, monkeypatch, prompt, negative):
    settings = {**QUICK, "negative_prompt": negative, "guidance_scale": 4.0, "like": "comfyui"}
    repeated = demo.txt2img(prompt, **settings).latents
    monkeypatch.setattr(conditions, "common_length", lambda one, other: None)
    np.testing.assert_allclose(demo.txt2img(prompt, **settings).latents, repeated, rtol=0, atol=2e-5)


@pytest.mark.parametrize("like", ["a1111", "forge", "comfyui"])
def test_what_stands_beyond_the_first_row_counts(demo, like):
    settings = {**QUICK, "guidance_scale": 4.0, "like": like}
    assert demo.text.tokenizer.encode(LONG).truncated
    one, other = (demo.txt2img(prompt, **settings).latents for prompt in (LONG, LONG + ", a green cross"))
    assert np.abs(one - other).max() > 1e-3


def test_memory_is_predicted_for_all_rows(demo):
    def total(prompt):
        request = make_request(demo.model, "txt2img", prompt, **QUICK, like="comfyui")
        return predict(demo._parts, [Pass(request)], Plan(low_memory=False)).total

    assert total(LONG * 40) > total(SHORT) + 1e6


@pytest.mark.parametrize("like", ["a1111", "forge", "comfyui"])
def test_at_no_guidance_the_negative_prompt_alone_counts(demo, like):
    settings = {**QUICK, "like": like}
    none = demo.txt2img(SHORT, negative_prompt="a green cross", guidance_scale=0.0, **settings).latents
    alone = demo.txt2img("a green cross", guidance_scale=1.0, **settings).latents
    np.testing.assert_allclose(none, alone, rtol=0, atol=2e-5)


def test_guidance_below_one_lies_between(demo):
    """One step to no noise is linear in the scale."""
    settings = {**QUICK, "num_inference_steps": 1, "negative_prompt": "a green cross", "like": "a1111"}
    below, none, half, one, two = (
        demo.txt2img(SHORT, guidance_scale=scale, **settings).latents for scale in (-1.0, 0.0, 0.5, 1.0, 2.0)
    )
    np.testing.assert_allclose(half, (none + one) / 2, rtol=0, atol=2e-5)
    np.testing.assert_allclose(two - one, one - none, rtol=0, atol=5e-5)
    np.testing.assert_allclose(none - below, one - none, rtol=0, atol=5e-5)


@pytest.mark.parametrize(("below_one", "expected"), [(False, [3.0]), (True, [3.0, 0.5, 0.0, -1.0])])
def test_which_scales_ask_for_both(below_one, expected):
    scales = [3.0, 1.0, 0.5, 0.0, -1.0]
    guidance = make_guidance(scales, 5, below_one=below_one)
    assert [scale for scale in guidance.scales if guidance.guides(scale)] == expected


def test_without_a_program_guidance_below_one_is_none(demo):
    half, one = (demo.txt2img(SHORT, guidance_scale=scale, **QUICK).latents for scale in (0.5, 1.0))
    np.testing.assert_array_equal(half, one)


FORGE = "a star\nSteps: 2, Sampler: Euler, CFG scale: 4, Seed: 1, Size: 64x64, Pad conds: True, Version: f2.0.1v1.10.1"


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        (FORGE.replace("f2.0.1", ""), {}, True),
        (FORGE.replace("f2.0.1", ""), {"like": "comfyui"}, None),
        (FORGE.replace("f2.0.1", ""), {"pad_prompts": False}, False),
        (FORGE, {}, None),
    ],
)
def test_a_text_asks_for_padding_where_the_program_pads(demo, text, given, expected):
    told = recall(text, **given)
    assert told.get("pad_prompts") == expected
    demo.start_txt2img(**told)


def test_an_old_ddim_picture_has_its_negative_prompt_ended():
    text = FORGE.replace("f2.0.1v1.10.1", "v1.5.2").replace("Euler", "DDIM").replace(", Pad conds: True", "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotHeeded)  # of what else that release did
        assert recall(text)["pad_prompts_v0"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"guidance_scale": -0.5, "like": "comfyui"},
            "guidance_scale: expected 0 or more with like comfyui, got -0.5",
        ),
        ({"guidance_scale": [4.0, -1.0], "like": "comfyui"}, "expected 0 or more with like comfyui, got -1"),
        ({"pad_prompts": True}, "pad_prompts: is AUTOMATIC1111's"),
        ({"pad_prompts": True, "like": "comfyui"}, "pad_prompts: is AUTOMATIC1111's"),
        ({"pad_prompts_v0": True, "like": "forge"}, "pad_prompts_v0: is AUTOMATIC1111's"),
    ],
)
def test_refused(demo, settings, words):
    with pytest.raises(SettingError, match=words):
        demo.start_txt2img(SHORT, **settings)
