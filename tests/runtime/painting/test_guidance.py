"""Guidance: the scale of each evaluation, and what is not computed where there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import latentrt
from latentrt.engine.session import Session
from latentrt.errors import InputError
from latentrt.painting.guidance import make_guidance

QUICK = {"width": 64, "height": 64, "num_inference_steps": 4, "seed": 1, "sampler": "euler"}


@pytest.fixture(scope="module")
def pipeline(random_model):
    with latentrt.load(random_model, device="cpu") as opened:
        yield opened


@pytest.fixture
def batches(monkeypatch):
    """How many samples each call of the UNet was given."""
    seen = []
    run = Session.run

    def counted(self, feeds, outputs=None):
        if self.component == "unet":
            seen.append(len(feeds["sample"]))
        return run(self, feeds, outputs)

    monkeypatch.setattr(Session, "run", counted)
    return seen


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"guidance_scale": 4.0}, [4, 4, 4, 4]),
        ({"guidance_scale": 1.0}, [2, 2, 2, 2]),
        ({"guidance_scale": 4.0, "guidance_interval": (0.25, 0.75)}, [2, 4, 4, 2]),
        ({"guidance_scale": 4.0, "guidance_interval": (0.3, 1.0)}, [2, 2, 4, 4]),
        ({"guidance_scale": [3.0, 1.0, 2.0, 0.0]}, [4, 2, 4, 2]),
        ({"guidance_scale": lambda step: 5.0 if step == 0 else 1}, [4, 2, 2, 2]),
    ],
)
def test_no_second_half_where_there_is_no_guidance(pipeline, batches, settings, expected):
    load = pipeline.runners["unet"].load_seconds
    pipeline.txt2img("a ring", **{**QUICK, "seed": [1, 2]}, **settings)
    assert batches == expected
    if len(set(expected)) > 1:  # one session takes both sizes: it is there for the next run
        load = pipeline.runners["unet"].load_seconds
        pipeline.txt2img("a ring", **{**QUICK, "seed": [1, 2]}, **settings)
        assert pipeline.runners["unet"].load_seconds == load


def test_steps_without_guidance_are_those_of_scale_one(pipeline):
    """Two runs that share their first steps: guided in the last alone, and never."""
    late = [step.latents for step in pipeline.start_txt2img("a ring", **QUICK, guidance_scale=[1, 1, 1, 6])]
    never = [step.latents for step in pipeline.start_txt2img("a ring", **QUICK, guidance_scale=1.0)]
    for i in range(3):
        np.testing.assert_allclose(late[i], never[i], rtol=0, atol=1e-5 * np.abs(never[i]).max())
    assert np.abs(late[3] - never[3]).max() > 1e-2


def test_several_points_are_spread_over_the_run():
    assert make_guidance([9, 3], 4).scales == pytest.approx((9, 7, 5, 3))
    assert make_guidance([9, 3], 1).scales == (9,)
    assert make_guidance(np.array([9, 3]), 2).scales == (9, 3)
    assert make_guidance([2, 4, 6], 3).points == (2, 4, 6)
    # A second-order sampler looks twice in each step but the last.
    assert make_guidance([9, 6, 3], 5, order=2).scales == (9, 9, 6, 6, 3)
    assert make_guidance(lambda step: step + 2, 5, order=2).scales == (2, 2, 3, 3, 4)


@given(
    st.integers(1, 200),
    st.integers(1, 2),
    st.floats(0, 1),
    st.floats(0, 1),
    st.lists(st.floats(-5, 30), min_size=1, max_size=5),
)
def test_the_interval_holds_whole_steps(evaluations, order, a, b, points):
    if a == b:
        return
    start, end = min(a, b), max(a, b)
    steps = -(-evaluations // order)
    if not any(start <= step / steps and (step + 1) / steps <= end for step in range(steps)):
        with pytest.raises(InputError, match="guidance_interval: .* covers no whole step"):
            make_guidance(points, evaluations, order, (start, end))
        return
    guidance = make_guidance(points, evaluations, order, (start, end))
    assert len(guidance.scales) == evaluations
    for evaluation, scale in enumerate(guidance.scales):
        step = evaluation // order
        if step / steps < start or (step + 1) / steps > end:
            assert scale == 1
        else:
            assert min(points) - 1e-9 <= scale <= max(points) + 1e-9


def test_rescale_gives_the_prompts_deviation():
    rng = np.random.default_rng(0)
    negative, positive = rng.standard_normal((2, 3, 4, 8, 8))
    axes = (1, 2, 3)
    whole = make_guidance(7.0, 1, rescale=1.0).guided(negative, positive, 7.0)
    np.testing.assert_allclose(whole.std(axis=axes), positive.std(axis=axes), rtol=1e-12)
    plain = make_guidance(7.0, 1).guided(negative, positive, 7.0)
    np.testing.assert_array_equal(plain, negative + 7.0 * (positive - negative))
    half = make_guidance(7.0, 1, rescale=0.5).guided(negative, positive, 7.0)
    np.testing.assert_allclose(half, (whole + plain) / 2, rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"guidance_scale": []}, "guidance_scale: expected a number, or several, got "),
        ({"guidance_scale": [1, "x"]}, "guidance_scale: expected a finite number, got 'x'"),
        ({"guidance_scale": lambda step: None}, "guidance_scale: expected a finite number, got None"),
        ({"guidance_interval": (0.5, 0.5)}, "guidance_interval: expected"),
        ({"guidance_interval": (0, 1.1)}, "guidance_interval: expected"),
        ({"guidance_interval": 0.5}, "guidance_interval: expected"),
        ({"guidance_rescale": 1.5}, "guidance_rescale: expected a number from 0 to 1, got 1.5"),
        ({"guidance_rescale": float("nan")}, "guidance_rescale: expected a finite number"),
    ],
)
def test_refused(pipeline, settings, message):
    with pytest.raises(InputError, match=message):
        pipeline.start_txt2img("a ring", **QUICK, **settings)
