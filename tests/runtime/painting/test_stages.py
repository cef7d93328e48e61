"""Runs that are a part of another, as ComfyUI's nodes paint them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import latentrt
from latentrt import InputError, SettingError
from latentrt.models.published import SD1_SCHEDULER
from latentrt.noise import FromBatch, TorchGenerator
from latentrt.painting.programs import PROGRAMS
from latentrt.painting.recall import recall
from latentrt.painting.stages import part
from latentrt.pictures.metadata import format_parameters
from latentrt.samplers import resolve

QUICK = {
    "width": 64,
    "height": 64,
    "num_inference_steps": 4,
    "seed": 3,
    "guidance_scale": 4.0,
    "like": "comfyui",
}


@pytest.fixture(scope="module")
def demo():
    with latentrt.load("demo", device="cpu", dtype="fp32") as pipeline:
        yield pipeline


@pytest.mark.parametrize(("sampler", "at"), [("euler", 2), ("heun", 3), ("dpm_2", 1)])
def test_two_stages_are_the_whole_run(demo, sampler, at):
    """Of solvers that remember nothing and draw nothing."""
    settings = {**QUICK, "sampler": sampler}
    whole = demo.txt2img("a red star", **settings).latents
    first = demo.txt2img("a red star", end_at_step=at, leftover_noise=True, **settings)
    rest = demo.img2img("a red star", first.latents, start_at_step=at, add_noise=False, **settings)
    np.testing.assert_allclose(rest.latents, whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpm_2", "uni_pc", "dpmpp_2m"])
@given(count=st.integers(1, 12), data=st.data())
def test_a_part_has_the_whole_runs_sigmas(sampler, count, data):
    start = data.draw(st.integers(0, count - 1))
    end = data.draw(st.none() | st.integers(start + 1, count))
    leftover = data.draw(st.booleans())
    whole = resolve(sampler, SD1_SCHEDULER, "karras").schedule(
        count, convention=PROGRAMS["comfyui"].convention
    )
    cut = part(whole, {"start_at_step": start, "end_at_step": end, "leftover_noise": leftover})
    stops = count if end is None else end
    steps = [*whole.sigmas[: -1 : whole.order], whole.sigmas[-1]]
    expected = steps[start : stops + 1]
    if stops < count and not leftover:
        expected[-1] = 0.0
    assert [*cut.sigmas[: -1 : cut.order], cut.sigmas[-1]] == expected
    assert len(cut.timesteps) == len(cut.stops) == len(cut.starts) == len(cut.sigmas) - 1
    assert cut.stops[-1] == cut.sigmas[-1]
    assert cut.steps == stops - start
    assert (cut is whole) == (start == 0 and stops == count)


def test_it_ends_without_noise_unless_that_is_asked_for(demo):
    ended = demo.start_txt2img("a red star", end_at_step=2, **QUICK)
    *_, last = ended
    assert (ended.total, ended.request.schedule.sigmas[-1]) == (2, 0)
    np.testing.assert_allclose(last.latents, last.denoised, rtol=0, atol=1e-5)
    left = demo.start_txt2img("a red star", end_at_step=2, leftover_noise=True, **QUICK)
    assert left.latents().std() > 1.5 * ended.latents().std()


@pytest.mark.parametrize(("sampler", "lowest"), [("euler", 0.0), ("uni_pc", 0.001)])
def test_a_part_ends_where_the_samplers_runs_end(demo, sampler, lowest):
    for asked in ({}, {"end_at_step": 2}):
        request = demo.start_txt2img("a red star", **QUICK, sampler=sampler, **asked).request
        assert request.schedule.sigmas[-1] == lowest


def test_noise_is_put_over_what_it_begins_with(demo):
    latents = np.full((1, 4, 8, 8), 0.25, np.float32)
    for add in (True, False):
        generation = demo.start_img2img(
            "x", latents, start_at_step=2, add_noise=add, **QUICK, sampler="euler"
        )
        schedule, first = generation.request.schedule, next(generation)
        noise = TorchGenerator(3).randn(latents.shape) * (schedule.sigmas[0] if add else 0)
        x = latents + noise
        expected = first.denoised + schedule.sigmas[1] / schedule.sigmas[0] * (x - first.denoised)
        np.testing.assert_allclose(first.latents, expected, rtol=0, atol=1e-4)
        assert len(schedule) == 2


def test_places_are_drawn_one_after_the_other():
    source = TorchGenerator(5)
    singles = [source.randn((1, 4, 8, 8)) for _ in range(4)]
    drawn = FromBatch(TorchGenerator(5), (3, 1, 3)).randn((3, 4, 8, 8))
    np.testing.assert_array_equal(drawn, np.concatenate([singles[i] for i in (3, 1, 3)]))
    source = FromBatch(TorchGenerator(5), (3,))
    source.randn((1, 4, 8, 8))
    expected = TorchGenerator(5)
    for _ in range(4):
        expected.randn((1, 4, 8, 8))
    np.testing.assert_array_equal(source.randn((1, 4, 8, 8)), expected.randn((1, 4, 8, 8)))
    with pytest.raises(InputError, match="2 places for a batch of 1"):
        FromBatch(TorchGenerator(5), (0, 1)).randn((1, 4, 8, 8))


def test_a_picture_from_a_batch_is_that_of_the_batch(demo):
    settings = {**QUICK, "sampler": "euler", "num_inference_steps": 2}
    batch = demo.txt2img("a red star", num_images=3, **settings)
    one = demo.txt2img("a red star", batch_index=[2], **settings)
    np.testing.assert_allclose(one.latents[0], batch.latents[2], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "asked",
    [
        {"start_at_step": 2},
        {"end_at_step": 3, "leftover_noise": True},
        {"start_at_step": 1, "end_at_step": 4},
        {"batch_index": (1, 3)},
        {"batch_index": (2,)},
    ],
)
def test_a_pictures_text_says_which_part_it_is(demo, asked):
    result = demo.txt2img("a red star", **QUICK, **asked)
    told = recall(format_parameters(result.parameters[0]))
    assert {name: told[name] for name in asked} == asked
    np.testing.assert_array_equal(demo.txt2img(**told).latents, result.latents)


def test_over_latents_the_text_says_no_strength(demo):
    latents = np.zeros((2, 4, 8, 8), np.float32)
    result = demo.img2img("x", latents, start_at_step=3, add_noise=False, **QUICK)
    assert len(result.images) == 2
    text = format_parameters(result.parameters[0])
    assert "Start at step: 3" in text and "Add noise: False" in text and "Denoising strength" not in text


def test_latents_are_begun_with_as_pictures_are(demo):
    """With a strength, and one for all pictures."""
    latents = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)
    for like in ("diffusers", "comfyui"):
        settings = {**QUICK, "like": like, "strength": 0.5, "seed": [1, 2]}
        result = demo.img2img("x", latents, **settings)
        for place, seed in enumerate((1, 2)):
            alone = demo.img2img("x", latents, **{**settings, "seed": [seed]}).latents
            np.testing.assert_allclose(result.latents[place], alone[0], rtol=0, atol=1e-5)


LATENTS = np.zeros((2, 4, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"like": "diffusers", "start_at_step": 2}, "start_at_step: is of ComfyUI's nodes"),
        ({"like": "a1111", "batch_index": [0]}, "batch_index: is of ComfyUI's nodes"),
        ({"start_at_step": 4}, "start_at_step: no step is left from 4 on, before 4"),
        ({"start_at_step": 3, "end_at_step": 3}, "end_at_step: no step is left"),
        ({"leftover_noise": True}, "leftover_noise: no noise is left without end_at_step"),
        ({"batch_index": [0, 1], "num_images": 3}, "num_images: expected 2, one for each place"),
        ({"batch_index": [0, 1], "seed": [1, 2]}, "batch_index: is of a batch from one seed"),
        ({"batch_index": []}, "batch_index: expected a list"),
        ({"batch_index": [0], "variation_strength": 0.5}, "batch_index: does not go with a variation"),
    ],
)
def test_refused(demo, settings, words):
    with pytest.raises(SettingError, match=words):
        demo.start_txt2img("x", **{**QUICK, **settings})


@pytest.mark.parametrize(
    ("latents", "settings", "words"),
    [
        (LATENTS, {"strength": 0.5, "start_at_step": 2}, "strength: does not go with start_at_step"),
        (LATENTS, {"exact_steps": True, "start_at_step": 2}, "exact_steps: does not go with start_at_step"),
        (LATENTS, {"width": 128}, "width: expected 64 or None, as the latents are, got 128"),
        (LATENTS, {"num_images": 3}, "num_images: expected 2, as many as latents, got 3"),
        (LATENTS[:, :3], {}, r"image: expected latents of floats, \(n, 4, height / 8, width / 8\)"),
        (LATENTS.astype(int), {}, "image: expected latents of floats"),
        (LATENTS + np.inf, {}, "image: expected finite latents"),
    ],
)
def test_latents_refused(demo, latents, settings, words):
    with pytest.raises(SettingError, match=words):
        demo.start_img2img("x", latents, **{**QUICK, **settings})


def test_a_second_pass_has_no_part(demo):
    with pytest.raises(SettingError):
        demo.start_txt2img("x", hires=latentrt.Hires(2.0), start_at_step=1, **QUICK)
