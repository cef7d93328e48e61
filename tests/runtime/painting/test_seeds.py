"""Which noise each picture is made from, and whether it comes out the same alone."""

import numpy as np
import pytest

import latentrt
from latentrt.errors import SettingError
from latentrt.noise import PhiloxGenerator, TorchGenerator, Variation
from latentrt.painting.kinds import Choice
from latentrt.painting.seeds import GENERATORS, make_seeds
from latentrt.painting.setting import checked, declared
from latentrt.painting.settings import Settings
from latentrt.painting.start import begin, encode

QUICK = {
    "width": 64,
    "height": 64,
    "num_inference_steps": 2,
    "sampler": "euler_ancestral",
    "guidance_scale": 1.0,
}


@pytest.fixture(scope="module")
def pipeline(random_model):
    with latentrt.load(random_model, device="cpu") as opened:
        yield opened


def first_state(generation):
    """The noise that a run began with, out of its first step: the network's view of it."""
    request = generation.request
    plain, varied = request.seeds.sources(request.seeds.batches[0])
    return varied.randn((len(request.seeds.batches[0].seeds), 4, 8, 8)), plain


def test_a_batch_is_its_pictures_alone_to_the_bit():
    """The included model on the CPU provider, in the latents and in the pictures."""
    kinds = [(sampler, scale) for scale in (1.0, 4.0) for sampler in ("ddim", "euler_ancestral")]

    def paint(demo, seed, kind):
        sampler, scale = kind
        return demo.txt2img(
            "a red heart", seed=seed, sampler=sampler, guidance_scale=scale, num_inference_steps=3
        )

    with latentrt.load("demo", device="cpu", dtype="fp32") as demo:
        batches = {kind: paint(demo, [5, 6, 7], kind) for kind in kinds}
        for kind in kinds:
            for i, seed in enumerate((5, 6, 7)):
                alone = paint(demo, seed, kind)
                np.testing.assert_array_equal(batches[kind].latents[i], alone.latents[0])
                np.testing.assert_array_equal(
                    np.asarray(batches[kind].images[i]), np.asarray(alone.images[0])
                )


def test_rng_is_whose_noise(pipeline):
    for rng, generator in (("cpu", TorchGenerator), ("nv", PhiloxGenerator)):
        noise, _ = first_state(pipeline.start_txt2img("x", **QUICK, seed=[3, 4], rng=rng))
        expected = np.concatenate([generator(seed).randn((1, 4, 8, 8)) for seed in (3, 4)])
        np.testing.assert_array_equal(noise, expected)
        noise, _ = first_state(pipeline.start_txt2img("x", **QUICK, seed=3, num_images=2, rng=rng))
        np.testing.assert_array_equal(noise, generator(3).randn((2, 4, 8, 8)))
    runs = {rng: pipeline.txt2img("x", **QUICK, seed=3, rng=rng) for rng in ("cpu", "nv")}
    assert np.abs(runs["cpu"].latents - runs["nv"].latents).max() > 0.1
    assert [dict(run.parameters[0].extra).get("RNG") for run in runs.values()] == [None, "NV"]


def test_variations_turn_the_first_noise_alone(pipeline):
    settings = {**QUICK, "seed": [3, 3], "variation_seed": [8, 9], "variation_strength": 0.3}
    noise, rest = first_state(pipeline.start_txt2img("x", **settings))
    sources = [Variation(TorchGenerator(3), TorchGenerator(seed), 0.3) for seed in (8, 9)]
    np.testing.assert_array_equal(noise, np.concatenate([s.randn((1, 4, 8, 8)) for s in sources]))
    after = TorchGenerator(3)
    after.randn((1, 4, 8, 8))
    np.testing.assert_array_equal(rest.randn((2, 4, 8, 8))[1:], after.randn((1, 4, 8, 8)))

    result = pipeline.txt2img("x", **settings)
    assert [(p.seed, p.variation_seed, p.variation_strength) for p in result.parameters] == [
        (3, 8, 0.3),
        (3, 9, 0.3),
    ]
    alone = pipeline.txt2img("x", **{**settings, "seed": 3, "variation_seed": 9})
    np.testing.assert_allclose(alone.latents[0], result.latents[1], atol=1e-5)
    plain = pipeline.txt2img("x", **QUICK, seed=3)
    assert plain.parameters[0].variation_seed is None
    assert np.abs(plain.latents - alone.latents).max() > 0.01


def test_img2img_varies_the_noise_and_not_the_pictures_latents(pipeline):
    """At full strength: the noise of the variation seed, over the seed's draw of the picture."""
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    seeds = {"seed": 3, "variation_seed": 9, "variation_strength": 1.0}
    request = pipeline.start_img2img("x", picture, **QUICK, **seeds).request
    autoencoder = pipeline.autoencoder
    start = begin(autoencoder, request, request.seeds.batches[0], encode(autoencoder, request))
    mean, std = autoencoder.encode(request.pixels)
    clean = autoencoder.drawn(mean, std, TorchGenerator(3))
    np.testing.assert_array_equal(start.clean, clean)
    np.testing.assert_allclose(start.noise, TorchGenerator(9).randn(clean.shape), atol=1e-6)
    np.testing.assert_array_equal(start.x, request.schedule.noised(clean, start.noise))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rng": "gpu"}, "rng: expected one of cpu, nv, got 'gpu'"),
        ({"variation_strength": 1.5}, "variation_strength: expected a number from 0 to 1, got 1.5"),
        ({"variation_seed": 3}, "variation_seed: does nothing without variation_strength"),
        ({"variation_seed": [3], "variation_strength": 0.5}, "variation_seed: expected one seed"),
        ({"seed": [1, 2], "variation_seed": [3], "variation_strength": 0.5}, "variation_seed: expected 2"),
        ({"variation_seed": "a", "variation_strength": 0.5}, "variation_seed: expected a whole number"),
    ],
)
def test_refused(arguments, message):
    names = ("seed", "num_images", "batch_size", "rng", "variation_seed", "variation_strength")
    with pytest.raises(SettingError, match=message):
        make_seeds(**{name: checked(Settings, arguments)[name] for name in names})


def test_every_generator_can_be_chosen():
    assert declared(Settings)["rng"].kind == Choice(tuple(GENERATORS))
