"""The pipeline's behaviour, on a model with random weights: what is refused, iterated, given up, repeated, freed."""

import json
import re
import shutil
import time

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image
from watch import Watch

import latentrt
from latentrt import (
    InputError,
    ModelError,
    NumericsError,
    PromptTruncated,
    SettingError,
    WeightsError,
)
from latentrt.engine.session import Session
from latentrt.models.safetensors import write_safetensors
from latentrt.models.weights import read_safetensors
from latentrt.painting.second_pass import Hires
from latentrt.painting.setting import declared
from latentrt.painting.settings import Settings
from latentrt.pictures.images import read_parameters
from latentrt.pictures.metadata import parse_parameters

PROMPT = "a small red ring"
QUICK = {"width": 64, "height": 64, "num_inference_steps": 3, "seed": 1, "sampler": "euler"}


class Clock:
    """What `time.perf_counter` says, in place of the time."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def takes(self, seconds, where, name):
        call = getattr(where, name)

        def timed(*args, **options):
            self.now += seconds
            return call(*args, **options)

        self._monkeypatch.setattr(where, name, timed)


@pytest.fixture(scope="module")
def pipeline(random_model):
    with latentrt.load(random_model, device="cpu") as opened:
        yield opened


@pytest.fixture
def model(random_model, tmp_path):
    """A copy of the model, to break."""
    return shutil.copytree(random_model, tmp_path / "model")


class TestGeneration:
    def test_nothing_is_computed_before_it_is_iterated(self, random_model):
        with latentrt.load(random_model, device="cpu") as opened:
            opened.start_txt2img(PROMPT, **QUICK)
            assert all(runner.load_seconds == 0 for runner in opened.runners.values())

    def test_steps_then_result(self, pipeline):
        generation = pipeline.start_txt2img(PROMPT, **QUICK)
        steps = list(generation)
        assert [(step.index, step.total) for step in steps] == [(0, 3), (1, 3), (2, 3)]
        assert [step.sigma for step in steps] == sorted((step.sigma for step in steps), reverse=True)
        result = generation.result()
        assert generation.result() is result
        np.testing.assert_array_equal(result.latents, steps[-1].latents)  # Euler ends at sigma 0
        assert [image.size for image in result.images] == [(64, 64)]
        assert result.timings["total"] == pytest.approx(
            sum(s for k, s in result.timings.items() if k != "total")
        )
        assert set(result.timings) == {"load", "text_encoder", "unet", "vae_decoder", "total"}

    def test_same_seed_same_picture_other_seed_another(self, pipeline):
        first, again = (pipeline.txt2img(PROMPT, **QUICK) for _ in range(2))
        np.testing.assert_array_equal(first.latents, again.latents)
        other = pipeline.txt2img(PROMPT, **{**QUICK, "seed": 2})
        assert np.abs(first.latents - other.latents).max() > 0.1

    def test_seed_zero_and_guidance_zero_are_values(self, pipeline):
        result = pipeline.txt2img(PROMPT, **{**QUICK, "seed": 0}, guidance_scale=0.0)
        assert result.seeds == [0]
        assert result.parameters[0].guidance_scale == 0

    def test_drawn_seed_is_told_and_repeats(self, pipeline):
        result = pipeline.txt2img(PROMPT, **{**QUICK, "seed": None})
        again = pipeline.txt2img(PROMPT, **{**QUICK, "seed": result.seeds[0]})
        np.testing.assert_array_equal(result.latents, again.latents)

    @pytest.mark.parametrize("sampler", ["ddim", "euler_ancestral", "dpmpp_2m_karras"])
    def test_a_list_of_seeds_gives_the_single_pictures(self, pipeline, sampler):
        settings = {**QUICK, "sampler": sampler}
        batch = pipeline.txt2img(PROMPT, **{**settings, "seed": [5, 6, 7]}, batch_size=2)
        for i, seed in enumerate((5, 6, 7)):
            alone = pipeline.txt2img(PROMPT, **{**settings, "seed": seed})
            np.testing.assert_allclose(batch.latents[i : i + 1], alone.latents, atol=1e-4)

    def test_cancelled(self, pipeline):
        generation = pipeline.start_txt2img(PROMPT, **QUICK)
        next(generation)
        generation.close()
        assert list(generation) == []
        with pytest.raises(RuntimeError, match="given up or failed before its last step"):
            generation.result()

    def test_a_failed_generation_has_no_result(self, pipeline, monkeypatch):
        generation = pipeline.start_txt2img(PROMPT, **{**QUICK, "seed": [1, 2]}, batch_size=1)
        for _ in range(3):  # the first batch
            next(generation)
        monkeypatch.setattr(pipeline.runners["unet"], "session", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            next(generation)
        with pytest.raises(RuntimeError, match="given up or failed before its last step"):
            generation.result()

    def test_runs_of_two_sizes_take_turns(self, pipeline):
        alone = pipeline.txt2img(PROMPT, **QUICK)
        generation = pipeline.start_txt2img(PROMPT, **QUICK)
        next(generation)
        pipeline.txt2img(PROMPT, **{**QUICK, "width": 96})
        np.testing.assert_array_equal(generation.result().latents, alone.latents)

    def test_loading_stages_and_the_loop_have_each_their_own_time(self, random_model, monkeypatch):
        """By a clock that only loading, running and the loop move on."""
        watch, clock = Watch(monkeypatch), Clock(monkeypatch)
        clock.takes(100, ort, "InferenceSession")
        clock.takes(1, Session, "run")
        with latentrt.load(random_model, device="cpu") as opened:
            for loads in (True, False):
                made, ran = len(watch.made), len(watch.ran)
                generation = opened.start_txt2img(PROMPT, **QUICK)
                for step in generation:
                    assert step.seconds == 1
                    clock.now += 10_000
                assert generation.result().timings == {
                    "load": 100 * (len(watch.made) - made),
                    "text_encoder": watch.ran[ran:].count("text_encoder"),
                    "unet": 3,
                    "vae_decoder": 1,
                    "total": 100 * (len(watch.made) - made) + len(watch.ran) - ran,
                }
                assert (len(watch.made) > made) is loads

    def test_between_two_passes_loading_has_its_own_time_too(self, random_model, monkeypatch):
        watch, clock = Watch(monkeypatch), Clock(monkeypatch)
        clock.takes(100, ort, "InferenceSession")
        clock.takes(1, Session, "run")
        with latentrt.load(random_model, device="cpu") as opened:
            hires = Hires(1.5, steps=2, upscaler="lanczos")
            timings = opened.txt2img(PROMPT, **QUICK, hires=hires).timings
        assert timings == {
            "load": 100 * len(watch.made),
            "text_encoder": 2,
            "unet": 3 + 2,
            "upscale": 2,  # the picture of the first pass, and its latents
            "vae_decoder": 1,
            "total": 100 * len(watch.made) + len(watch.ran),
        }

    def test_save_writes_parameters(self, pipeline, tmp_path):
        result = pipeline.txt2img(PROMPT, **{**QUICK, "seed": [5, 6]})
        with pytest.raises(InputError, match="names one file for 2 pictures"):
            result.save(tmp_path / "x.png")
        paths = result.save(tmp_path / "x-{index}-{seed}.png")
        assert [path.name for path in paths] == ["x-0-5.png", "x-1-6.png"]
        assert parse_parameters(read_parameters(paths[1])) == result.parameters[1]
        np.testing.assert_array_equal(np.asarray(Image.open(paths[0])), np.asarray(result.images[0]))
        (odd,) = pipeline.txt2img(PROMPT, **QUICK).save(tmp_path / "a{b}{index:03d}.png")
        assert odd.name == "a{b}000.png"
        assert odd.exists()

    def test_one_seed_for_several_says_so(self, pipeline):
        result = pipeline.txt2img(PROMPT, **QUICK, num_images=2)
        assert [p.extra for p in result.parameters] == [
            (("Batch size", "2"), ("Batch pos", "0")),
            (("Batch size", "2"), ("Batch pos", "1")),
        ]

    def test_numpy_integers_are_integers(self, pipeline):
        result = pipeline.txt2img(PROMPT, **{**QUICK, "width": np.int64(64), "seed": np.int32(1)})
        np.testing.assert_array_equal(result.latents, pipeline.txt2img(PROMPT, **QUICK).latents)

    def test_guidance_changes_the_picture_and_off_ignores_the_negative(self, pipeline):
        runs = {
            scale: [
                pipeline.txt2img(PROMPT, **QUICK, guidance_scale=scale, negative_prompt=n).latents
                for n in ("", "star")
            ]
            for scale in (1.0, 4.0)
        }
        np.testing.assert_array_equal(*runs[1.0])
        assert np.abs(runs[4.0][0] - runs[4.0][1]).max() > 1e-3
        assert np.abs(runs[1.0][0] - runs[4.0][0]).max() > 1e-3

    def test_a_cut_prompt_says_what_was_cut(self, pipeline):
        with pytest.warns(PromptTruncated, match="cut off: .*the very end"):
            pipeline.txt2img("a red star " * 20 + "the very end", **QUICK)

    def test_other_sizes_follow_each_other(self, pipeline):
        for width, height in ((64, 64), (96, 64), (64, 64)):
            result = pipeline.txt2img(PROMPT, **{**QUICK, "width": width, "height": height})
            assert result.images[0].size == (width, height)
            assert result.latents.shape == (1, 4, height // 8, width // 8)

    def test_low_memory_frees_each_stage_and_paints_the_same(self, random_model, pipeline, monkeypatch):
        watch = Watch(monkeypatch)
        with latentrt.load(random_model, device="cpu", low_memory=True) as low:
            for _ in low.start_txt2img(PROMPT, **QUICK):
                assert watch.alive == ["unet"]
            result = low.txt2img(PROMPT, **QUICK)
            assert watch.alive == []
            low.decode(result.latents)
            latents = low.encode(result.images[0])
            low.autoencoder.decode(latents)
            low.autoencoder.encode(np.zeros((2, 3, 64, 64), np.float32))
            next(given_up := low.start_txt2img(PROMPT, **QUICK))
            given_up.close()
            assert watch.alive == []
        expected = pipeline.txt2img(PROMPT, **QUICK).latents  # convolutions sum in another order there
        np.testing.assert_allclose(result.latents, expected, rtol=0, atol=2e-5 * np.abs(expected).max())

    def test_fp16_is_near_fp32(self, random_model, pipeline):
        with latentrt.load(random_model, device="cpu", dtype="fp16") as half:
            result = half.txt2img(PROMPT, **QUICK)
        expected = pipeline.txt2img(PROMPT, **QUICK)
        error = np.linalg.norm(result.latents - expected.latents) / np.linalg.norm(expected.latents)
        assert 0 < error < 0.02


class TestImg2Img:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 101, 3), np.uint8))

    def test_size_is_the_pictures_rounded_down(self, pipeline):
        result = pipeline.img2img(PROMPT, self.image, num_inference_steps=4, seed=1, strength=0.5)
        assert result.images[0].size == (96, 64)
        assert result.parameters[0].strength == 0.5

    def test_strength_counts_steps(self, pipeline):
        for strength, steps in ((0.25, 1), (0.5, 2), (1.0, 4)):
            generation = pipeline.start_img2img(
                PROMPT, self.image, num_inference_steps=4, seed=1, strength=strength
            )
            assert len(list(generation)) == generation.total == steps

    @pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan")])
    def test_strength_out_of_range(self, pipeline, strength):
        with pytest.raises(InputError, match="strength: expected a (number from 0 to 1|finite number)"):
            pipeline.start_img2img(PROMPT, self.image, strength=strength)

    def test_strength_that_leaves_no_step(self, pipeline):
        with pytest.raises(InputError, match=r"strength: 0.0 of 4 steps leaves none; expected at least 0.25"):
            pipeline.start_img2img(PROMPT, self.image, num_inference_steps=4, strength=0)

    def test_encode_decode_refuse_wrong_shapes(self, pipeline):
        with pytest.raises(InputError, match=r"multiples of 8, got \(1, 3, 70, 101\)"):
            pipeline.encode(self.image)
        with pytest.raises(InputError, match=r"latents: expected \(b, 4, h, w\), got \(1, 3, 8, 8\)"):
            pipeline.decode(np.zeros((1, 3, 8, 8), np.float32))
        with pytest.raises(InputError, match="latents: expected finite values"):
            pipeline.decode(np.full((1, 4, 8, 8), np.nan, np.float32))


class TestRefused:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"width": 100}, "width: expected a multiple of 8, got 100; try 96 or 104"),
            ({"height": 0}, "height: expected a whole number of 1 or more, got 0"),
            ({"height": 64.0}, "height: expected a whole number"),
            ({"num_inference_steps": 0}, "num_inference_steps: expected a whole number of 1 or more, got 0"),
            ({"num_inference_steps": -5}, "num_inference_steps: expected a whole number"),
            ({"num_inference_steps": True}, "num_inference_steps: expected a whole number"),
            ({"guidance_scale": float("nan")}, "guidance_scale: expected a finite number, got nan"),
            ({"guidance_scale": float("inf")}, "guidance_scale: expected a finite number, got inf"),
            ({"sampler": "nope"}, "no such sampler, 'nope'; expected one of: ddim"),
            ({"eta": 2.0, "sampler": "ddim"}, "eta: expected a number from 0 to 1"),
            ({"eta": 0.5}, "eta: euler has none"),
            ({"seed": [1, 2], "num_images": 3}, "num_images: expected 2, one for each seed, got 3"),
            ({"seed": []}, "seed: expected a seed, or a list of at least one, got []"),
            ({"seed": 2**64}, "seed: expected a whole number from"),
            ({"seed": [1, "a"]}, "seed: expected a whole number"),
            ({"num_images": 4, "batch_size": 2}, "batch_size: one seed draws its noise for all 4 pictures"),
            ({"clip_skip": 3}, "clip_skip: expected 0 to 2"),
            ({"clip_skip": -1}, "clip_skip: expected a whole number of 0 or more, got -1"),
            ({"clip_skip": 1.5}, "clip_skip: expected a whole number of 0 or more, got 1.5"),
            ({"guidance_scale": "7"}, "guidance_scale: expected a finite number, got '7'"),
            ({"eta": "x", "sampler": "ddim"}, "eta: expected a finite number, got 'x'"),
            ({"negative_prompt": 3}, "negative_prompt: expected text, got 3"),
        ],
    )
    def test_settings(self, pipeline, settings, message):
        with pytest.raises(SettingError, match=re.escape(message)):
            pipeline.start_txt2img(PROMPT, **{**QUICK, **settings})

    def test_what_is_no_setting_of_the_run(self, pipeline):
        picture = Image.new("RGB", (64, 64))
        with pytest.raises(
            SettingError, match="steps: txt2img has no such setting; expected one of .*negative_prompt, width"
        ):
            pipeline.start_txt2img(PROMPT, steps=3)
        with pytest.raises(
            SettingError, match="strength: txt2img has no such setting; it is of img2img and inpaint alone"
        ):
            pipeline.start_txt2img(PROMPT, strength=0.5)
        with pytest.raises(SettingError, match="strength: txt2img has no such setting"):
            pipeline.start_txt2img(PROMPT, strength=0.5, hires=Hires())
        with pytest.raises(SettingError, match="picture: txt2img has no such setting"):
            pipeline.start_txt2img(PROMPT, picture=picture)
        with pytest.raises(SettingError, match="mask: img2img has no such setting"):
            pipeline.start_img2img(PROMPT, picture, mask=picture)
        with pytest.raises(
            SettingError, match="mask_blur: img2img has no such setting; it is of inpaint alone"
        ):
            pipeline.start_img2img(PROMPT, picture, mask_blur=2.0)

    def test_none_is_as_if_it_were_not_given(self, pipeline):
        plain = pipeline.start_txt2img(PROMPT, seed=1).request
        nothing = pipeline.start_txt2img(PROMPT, **{**dict.fromkeys(declared(Settings)), "seed": 1}).request
        assert nothing.settings == plain.settings

    def test_dtype_and_device(self, random_model):
        with pytest.raises(
            InputError, match="dtype: expected one of auto, fp16, bf16, fp32, int8, got 'int4'"
        ):
            latentrt.load(random_model, dtype="int4")
        with pytest.raises(InputError, match="device: expected one of"):
            latentrt.load(random_model, device="tpu")


class TestBrokenModels:
    def test_no_such(self, tmp_path):
        with pytest.raises(ModelError, match=r"no such model\. Expected `demo`, a .safetensors file"):
            latentrt.load(tmp_path / "nothing")
        with pytest.raises(
            ModelError, match="someone/some-model: no such folder, and not .* in the hub's cache"
        ):
            latentrt.load("someone/some-model")

    def test_a_folder_that_is_no_model(self, tmp_path):
        with pytest.raises(ModelError, match=r"is no model: it has no model_index\.json"):
            latentrt.load(tmp_path)

    def test_a_file(self, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(b"")
        with pytest.raises(ModelError, match="is empty: a download broke off"):
            latentrt.load(tmp_path / "model.safetensors")

    @pytest.mark.parametrize("content", ["", "[1]", "{", "\ufeff{}x"])
    def test_broken_json(self, model, content):
        (model / "model_index.json").write_text(content)
        with pytest.raises(
            ModelError, match=r"model_index\.json: (not valid JSON|expected a JSON object|is empty)"
        ):
            latentrt.load(model)

    def test_missing_component(self, model):
        shutil.rmtree(model / "unet")
        with pytest.raises(ModelError, match=r"has no unet/config\.json"):
            latentrt.load(model)

    def test_missing_weights(self, model):
        (model / "unet/diffusion_pytorch_model.safetensors").unlink()
        with pytest.raises(
            WeightsError, match=r"unet: no weights\. Expected diffusion_pytorch_model\.safetensors"
        ):
            latentrt.load(model).txt2img(PROMPT, **QUICK)

    @pytest.mark.parametrize("what", ["missing", "misshapen"])
    def test_one_tensor(self, model, what):
        path = model / "unet/diffusion_pytorch_model.safetensors"
        tensors = read_safetensors(path)
        bias = tensors.pop("conv_in.bias")
        write_safetensors(path, tensors if what == "missing" else {**tensors, "conv_in.bias": bias[:-1]})
        expected = r"conv_in\.bias (is missing in|in .* has shape \(63,\).* needs \(64,\))"
        with pytest.raises(WeightsError, match=f"unet: tensor {expected}"):
            latentrt.load(model).txt2img(PROMPT, **QUICK)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"layers_per_block": 3},
                r"unet: tensor down_blocks\.0\.resnets\.1\.\S+ is missing in diffusion_",
            ),
            (
                {"cross_attention_dim": 96},
                r"unet: tensor .*attn2.to_k.weight in .* has shape .* needs \(\d+, 96\)",
            ),
            (
                {"class_embed_type": "timestep"},
                r"unet/config\.json: class_embed_type is 'timestep'; expected None",
            ),
        ],
    )
    def test_a_config_that_is_not_the_weights_names_the_first_that_differs(self, model, change, message):
        path = model / "unet/config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(ModelError, match=message):
            latentrt.load(model, device="cpu").txt2img(PROMPT, **QUICK)

    @pytest.mark.parametrize("folder", ["text_encoder", "unet", "vae"])
    def test_what_no_graph_is_for_is_refused_before_the_first_step(self, model, folder):
        path = model / folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "a_key_of_the_future": "rotary"}))
        with (
            latentrt.load(model, device="cpu") as pipeline,
            pytest.raises(ModelError, match=rf"{folder}/config\.json: a_key_of_the_future is 'rotary'"),
        ):
            pipeline.start_txt2img(PROMPT, **QUICK)

    def test_weights_that_are_not_whole_are_refused_before_the_first_step(self, model):
        path = model / "vae/diffusion_pytorch_model.safetensors"
        tensors = read_safetensors(path)
        del tensors["decoder.conv_out.bias"]
        write_safetensors(path, tensors)
        with (
            latentrt.load(model, device="cpu") as pipeline,
            pytest.raises(WeightsError, match=r"vae_decoder: tensor decoder\.conv_out\.bias is missing"),
        ):
            pipeline.start_txt2img(PROMPT, **QUICK)

    @pytest.mark.parametrize("channels", [1, 5])
    def test_a_unet_that_gives_other_channels_is_refused(self, model, channels):
        path = model / "unet/config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "out_channels": channels}))
        with (
            latentrt.load(model, device="cpu") as pipeline,
            pytest.raises(
                ModelError, match=f"its UNet gives {channels} channels; expected the 4 of its latents"
            ),
        ):
            pipeline.start_txt2img(PROMPT, **QUICK)

    def test_nan_in_weights_names_the_component(self, model):
        path = model / "vae/diffusion_pytorch_model.safetensors"
        tensors = read_safetensors(path)
        tensors["decoder.conv_out.bias"] = np.full_like(tensors["decoder.conv_out.bias"], np.nan)
        write_safetensors(path, tensors)
        with pytest.raises(NumericsError, match=r"vae_decoder\.sample: NaN or infinity"):
            latentrt.load(model, device="cpu").txt2img(PROMPT, **QUICK)

    def test_inpainting_unet_is_not_driven_as_text_to_image(self, model):
        path = model / "unet/config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "in_channels": 9}))
        with pytest.raises(
            ModelError, match="takes 9 channels, which txt2img cannot drive: it is made for inpainting"
        ):
            latentrt.load(model).txt2img(PROMPT, **QUICK)

    def test_another_pipeline_with_no_vae(self, model):
        shutil.rmtree(model / "vae")
        with pytest.raises(
            ModelError, match=r"has no vae/config\.json; expected the folders of a Stable Diffusion or SDXL"
        ):
            latentrt.load(model)
