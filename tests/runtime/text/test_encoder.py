"""Each prompt is encoded once, whatever is painted with it."""

import shutil
import warnings

import numpy as np
import pytest
from PIL import Image
from watch import Watch

import latentrt
from latentrt import ModelError, PromptTruncated
from latentrt.cli import main
from latentrt.painting.hires import Hires

PROMPT = "a small red ring"
QUICK = {"width": 64, "height": 64, "num_inference_steps": 2, "seed": 1}


def states(conditionings):
    return np.stack([said["encoder_hidden_states"] for said in conditionings])


@pytest.fixture
def pipeline(random_model):
    with latentrt.load(random_model, device="cpu") as opened:
        yield opened


@pytest.fixture
def watch(monkeypatch):
    return Watch(monkeypatch)


def test_sizes_in_turn_seeds_batches_and_passes_encode_a_prompt_once(pipeline, watch):
    for width in (64, 96, 64, 96):
        pipeline.txt2img(PROMPT, **{**QUICK, "width": width})
    for seed in (1, 2, 3):
        pipeline.txt2img(PROMPT, **{**QUICK, "seed": seed})
    pipeline.txt2img(PROMPT, **{**QUICK, "seed": [1, 2, 3]}, batch_size=2)
    pipeline.txt2img(PROMPT, **QUICK, hires=Hires(1.5, steps=1))
    pipeline.img2img(PROMPT, Image.new("RGB", (64, 64)), num_inference_steps=2)
    assert watch.ran.count("text_encoder") == 2  # the prompt, and the empty one
    assert watch.made.count("text_encoder") == 1
    pipeline.txt2img(PROMPT, **QUICK, negative_prompt="star")
    assert watch.ran.count("text_encoder") == 3


def test_both_passes_alone_encode_a_prompt_once(pipeline, watch):
    pipeline.txt2img(PROMPT, **QUICK, hires=Hires(1.5, steps=1))
    assert watch.ran.count("text_encoder") == 2


def test_a_sweep_encodes_each_prompt_once(tmp_path, monkeypatch, watch):
    monkeypatch.chdir(tmp_path)
    axes = ["--x", "prompt=a red heart,a blue star", "--y", "seed=1-2", "--z", "size=64x64,96x64"]
    assert main(["sweep", "a", "--device", "cpu", "--steps", "1", "--quiet", *axes]) == 0
    assert watch.ran.count("text_encoder") == 3  # two, and the empty one


def test_with_low_memory_known_prompts_do_not_load_it_again(random_model, watch):
    with latentrt.load(random_model, device="cpu", low_memory=True) as low:
        for seed in (1, 2):
            low.txt2img(PROMPT, **{**QUICK, "seed": seed})
        assert (watch.made.count("text_encoder"), watch.made.count("unet")) == (1, 2)
        low.txt2img("a star", **QUICK)
        assert watch.made.count("text_encoder") == 2


def test_what_comes_of_a_prompt_does_not_depend_on_its_neighbours(random_model):
    prompts = ["", PROMPT, "a blue star on a green background"]
    encoders = [latentrt.load(random_model, device="cpu").text for _ in range(2)]
    together = states(encoders[0].encode(prompts))
    alone = [states(encoders[1].encode([prompt]))[0] for prompt in reversed(prompts)]
    assert together.dtype == np.float32
    assert together.shape[:2] == (3, encoders[0].tokenizer.max_length)
    np.testing.assert_array_equal(together, alone[::-1])


def test_the_same_tokens_are_the_same_prompt_and_skipped_layers_are_others(pipeline, watch):
    text = pipeline.text
    last = states(text.encode([PROMPT, "A  SMALL red Ring"]))
    np.testing.assert_array_equal(last[0], last[1])
    assert len(watch.ran) == 1
    skipped = states(text.encode([PROMPT], 1))
    assert len(watch.ran) == 2
    assert np.abs(skipped[0] - last[0]).max() > 0.01
    for clip_skip, expected in ((None, last[:1]), (0, last[:1]), (1, skipped)):
        np.testing.assert_array_equal(states(text.encode([PROMPT], clip_skip)), expected)
    assert len(watch.ran) == 2


def test_who_writes_into_the_result_changes_no_other(pipeline):
    (first,) = pipeline.text.encode([PROMPT])
    expected = first["encoder_hidden_states"].copy()
    first["encoder_hidden_states"][:] = 0
    np.testing.assert_array_equal(states(pipeline.text.encode([PROMPT]))[0], expected)


def test_the_prompts_used_last_are_kept(pipeline, watch):
    prompts = [f"a star {number}" for number in range(16)]
    pipeline.text.encode(prompts)
    pipeline.text.encode(prompts[:1])
    assert len(watch.ran) == 16
    pipeline.text.encode(["one more"])  # in place of the second
    pipeline.text.encode(prompts[:1] + prompts[2:])
    assert len(watch.ran) == 17
    pipeline.text.encode(prompts[1:2])
    assert len(watch.ran) == 18
    assert len(pipeline.text.encode([f"{number} rings" for number in range(20)])) == 20


def test_every_generation_tells_what_was_cut_off(pipeline):
    for _ in range(2):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            pipeline.txt2img("a red star " * 20 + "the very end", **QUICK)
        assert [one.category for one in told] == [PromptTruncated]
        assert "cut off" in str(told[0].message)


LONG, SHORT = "a red star " * 40 + "the very end", "a small red ring"


@pytest.mark.parametrize("hires", [None, Hires(1.5, steps=1)])
@pytest.mark.parametrize(
    ("prompt", "negative", "scale", "cut"),
    [
        (LONG, SHORT, 4.0, ["prompt"]),
        (SHORT, LONG, 4.0, ["negative prompt"]),
        (LONG, LONG, 4.0, ["negative prompt", "prompt"]),
        (SHORT, LONG, 1.0, []),  # without guidance there is no negative prompt
    ],
)
def test_the_warning_says_which_prompt_was_cut(pipeline, prompt, negative, scale, cut, hires):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")  # each text once, as Python does
        pipeline.txt2img(prompt, negative_prompt=negative, guidance_scale=scale, **QUICK, hires=hires)
    limit = pipeline.text.tokenizer.max_length
    lost = pipeline.text.tokenizer.encode(LONG).truncated
    assert lost.endswith("the very end")
    assert [str(one.message) for one in told] == [
        f"the {name} is longer than the {limit} tokens that this model takes; cut off: {lost!r}"
        for name in cut
    ]


def test_the_command_says_which_prompt_was_cut(random_model, tmp_path, capsys):
    command = ["generate", SHORT, "--negative", LONG, "--model", str(random_model), "--device", "cpu"]
    quick = ["--size", "64x64", "--steps", "1", "--seed", "1", "--quiet", "--out", str(tmp_path / "a.png")]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([*command, *quick]) == 0
    error = capsys.readouterr().err
    assert error.startswith("latentrt: warning: the negative prompt is longer than the ")
    assert error.endswith("the very end'\n") and error.count("\n") == 1


def test_a_closed_pipeline_keeps_nothing(pipeline, watch):
    pipeline.txt2img(PROMPT, **QUICK)
    pipeline.close()
    assert watch.alive == []
    pipeline.txt2img(PROMPT, **QUICK)
    assert watch.ran.count("text_encoder") == 4


def test_a_tokenizer_that_cannot_be_read_shows_before_the_first_step(tmp_path, random_model):
    shutil.copytree(random_model, tmp_path / "model")
    for file in (tmp_path / "model" / "tokenizer").iterdir():
        file.unlink()
    with (
        latentrt.load(tmp_path / "model", device="cpu") as pipeline,
        pytest.raises(ModelError, match="tokenizer"),
    ):
        pipeline.start_txt2img("a heart", num_inference_steps=1, width=64, height=64)
