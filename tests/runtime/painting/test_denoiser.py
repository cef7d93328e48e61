"""A denoiser goes by what it is given: the state, and where it is asked; never by what it was asked before."""

import dataclasses

import numpy as np
import pytest

from latentrt import samplers
from latentrt.errors import InputError
from latentrt.noise import TorchGenerator
from latentrt.painting.blend import Blend
from latentrt.painting.denoiser import Denoiser
from latentrt.painting.guidance import make_guidance

CONFIG = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SHAPE = (2, 4, 4, 4)
CLEAN, NOISE, CHANNELS = (TorchGenerator(seed).randn(SHAPE) for seed in range(3))
# From what is kept, over what is freed late, to what is painted from the first step on.
MASK = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 1, 4, 4)
POINTS = [7.0, 1.0, 4.0, 0.5]


class Unet:
    """A network that looks at all that it is fed."""

    def __init__(self):
        self.batches = []

    def run(self, feeds):
        sample, context = feeds["sample"], feeds["encoder_hidden_states"]
        self.batches.append(len(sample))
        told = context.mean(axis=(1, 2)).reshape(-1, 1, 1, 1) + feeds["timestep"] / 1000
        return {"out_sample": np.tanh(sample[:, :4] + sample[:, 4:] / 2 + told)}


def denoiser(unet, sampler, schedule):
    prompt, negative = ({"encoder_hidden_states": np.full((2, 3, 5), x, np.float32)} for x in (0.5, -0.25))
    guidance = make_guidance(POINTS, len(schedule), schedule.order)
    return Denoiser(unet.run, prompt, negative, guidance, sampler.prediction, CHANNELS)


@pytest.mark.parametrize("name", samplers.names())
def test_what_else_is_asked_changes_nothing(name):
    """Twice at the same place, and at all others in between: guidance by step, the mask's levels, all of a run."""
    sampler = samplers.resolve(name, CONFIG)
    schedule = sampler.schedule(6)
    blend = Blend(denoiser(Unet(), sampler, schedule), CLEAN, NOISE, MASK, len(schedule))

    class Restless:
        def __call__(self, x, at):
            self.look_around(x, at)
            return blend(x, at)

        def apart(self, x, at):
            self.look_around(x, at)
            return blend.apart(x, at)

        def look_around(self, x, at):
            for other in (at, *reversed(list(schedule)), at):
                blend(x + 1, other)

    def run(denoise):
        return list(sampler.run(denoise, schedule.initial(NOISE), schedule, TorchGenerator(5)))

    for one, other in zip(run(blend), run(Restless()), strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.denoised, other.denoised)


def test_both_evaluations_of_a_step_are_guided_alike():
    sampler, unet = samplers.resolve("heun", CONFIG), Unet()
    schedule = sampler.schedule(4)
    denoise = denoiser(unet, sampler, schedule)
    for at in reversed(list(schedule)):
        denoise(NOISE, at)
    assert unet.batches[::-1] == [4, 4, 2, 2, 4, 4, 2]


def test_apart_is_guided_by_every_scale_and_tells_what_the_negative_prompt_predicts():
    sampler, unet = samplers.resolve("euler_cfg_pp", CONFIG), Unet()
    schedule = sampler.schedule(4)
    denoise = denoiser(unet, sampler, schedule)
    for at in schedule:  # scales 7, 1, 4 and 0.5
        guided, unguided = denoise.apart(NOISE, at)
        scale = denoise.guidance.scales[at.index]
        alone = dataclasses.replace(denoise, prompt=denoise.negative, negative=None)(NOISE, at)
        prompted = dataclasses.replace(denoise, negative=None)(NOISE, at)
        np.testing.assert_allclose(unguided, alone, atol=2e-6)
        np.testing.assert_allclose(guided, alone + scale * (prompted - alone), atol=2e-5)
        if scale > 1:
            np.testing.assert_array_equal(guided, denoise(NOISE, at))
    with pytest.raises(InputError, match="expected another sampler"):
        dataclasses.replace(denoise, negative=None).apart(NOISE, next(iter(schedule)))
