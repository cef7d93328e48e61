"""The demo model's training: it learns, it resumes exactly, and it writes a folder that diffusers reads."""

import argparse
import json
import os
import stat

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import torch

from latentrt.claim import Claim
from latentrt.errors import InputError
from latentrt.models.demo import scenes
from latentrt_export.demo import (
    autoencoder,
    denoiser,
    diffusion,
    folder,
    optim,
    stage,
    text,
    tokenizer,
    train,
)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    tokenizer.write_tokenizer(path)
    return path


@pytest.fixture(scope="module")
def cache():
    generator = torch.Generator().manual_seed(0)
    # Latents that follow from the states, so that there is something to learn.
    states = torch.randn(64, 32, 128, generator=generator)
    latents = states[:, 0, :4].view(-1, 4, 1, 1).expand(-1, 4, 16, 16)
    return diffusion.Cache(latents.half(), states.half(), torch.zeros(32, 128).half())


class Interrupted(stage.Budget):
    """Half of a run: what a stopped process leaves behind."""

    def fraction(self):
        return 1.0 if 2 * self.done >= self.steps else super().fraction()


def _weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_autoencoder_learns_and_resumes_exactly(tmp_path):
    options = {"batch": 2, "pool": 8, "dtype": "fp32"}
    whole = autoencoder.train(tmp_path / "a", stage.Budget(steps=6), **options)
    pictures = autoencoder.picture_pool(4, 1)
    assert autoencoder.measure(whole, pictures) > autoencoder.measure(
        autoencoder.make_autoencoder(), pictures
    )

    autoencoder.train(tmp_path / "b", Interrupted(steps=6), **options)
    resumed = autoencoder.train(tmp_path / "b", stage.Budget(steps=6), **options)
    torch.testing.assert_close(_weights(resumed), _weights(whole), rtol=0, atol=0)


def test_a_spent_budget_trains_no_more(tmp_path):
    first = autoencoder.train(tmp_path, stage.Budget(steps=2), batch=2, pool=2, dtype="fp32")
    budget = stage.Budget(steps=2)
    again = autoencoder.train(tmp_path, budget, batch=2, pool=2, dtype="fp32")
    assert budget.done == 2
    torch.testing.assert_close(_weights(again), _weights(first), rtol=0, atol=0)


def test_text_encoder_learns(tmp_path, words):
    tok = tokenizer.load_tokenizer(words)
    rng = np.random.default_rng(0)
    made = [scenes.sample(rng) for _ in range(16)]
    texts = [scenes.caption(scene, rng) for scene in made]
    wanted = torch.from_numpy(np.stack([text.target_states(scene) for scene in made]))
    before = ((text.last_states(text.make_text_encoder(tok), tok, texts) - wanted) ** 2).mean()
    model = text.train(tmp_path, tok, stage.Budget(steps=40), batch=16, dtype="fp32")
    after = ((text.last_states(model, tok, texts) - wanted) ** 2).mean()
    assert after < 0.3 * before
    again = text.train(tmp_path, tok, stage.Budget(steps=40), batch=16, dtype="fp32")
    torch.testing.assert_close(_weights(again), _weights(model), rtol=0, atol=0)


def test_denoiser_learns_and_resumes_exactly(tmp_path, cache):
    def loss(model):
        torch.manual_seed(5)
        signal = torch.from_numpy(denoiser.alphas_cumprod()).float()[600]
        x0 = cache.latents.float() * cache.scaling_factor
        noise = torch.randn(x0.shape)
        x = signal.sqrt() * x0 + (1 - signal).sqrt() * noise
        with torch.no_grad():
            out = model(x, torch.full((64,), 600), cache.states.float()).sample
        return float(((out - (signal.sqrt() * noise - (1 - signal).sqrt() * x0)) ** 2).mean())

    options = {"batch": 8, "dtype": "fp32"}
    whole = diffusion.train(tmp_path / "a", cache, stage.Budget(steps=8), **options)
    assert loss(whole) < 0.95 * loss(denoiser.make_denoiser())
    diffusion.train(tmp_path / "b", cache, Interrupted(steps=8), **options)
    resumed = diffusion.train(tmp_path / "b", cache, stage.Budget(steps=8), **options)
    torch.testing.assert_close(_weights(resumed), _weights(whole), rtol=0, atol=0)


def test_timesteps_cover_the_whole_range():
    t = diffusion.training_timesteps(np.random.default_rng(0), 50)
    assert sorted(t // 20) == list(range(50))


def test_the_schedule_is_stable_diffusions():
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler.from_config(denoiser.SCHEDULER).alphas_cumprod.numpy()
    np.testing.assert_allclose(denoiser.alphas_cumprod(), theirs, rtol=1e-5)


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (8, 8)])
def test_orthogonalise_brings_singular_values_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(optim.orthogonalise(matrix))
    assert values.max() < 1.3
    assert values.median() > 0.6


def test_the_rate_warms_up_and_falls_to_nothing():
    assert optim.rate_at(0.0, 0) < 0.1
    assert optim.rate_at(0.2, 100) == 1
    assert optim.rate_at(1.0, 1000) == pytest.approx(0, abs=1e-12)


def test_a_lost_gradient_is_an_error():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[1](torch.ones(1, 2)).sum().backward()
    with pytest.raises(RuntimeError, match="gradient"):
        optim.check_gradients(model)


def test_tokenizer_files_agree_and_take_any_text(words, tmp_path):
    from transformers import CLIPTokenizer

    slow = tmp_path / "files"
    slow.mkdir()
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (slow / name).write_bytes((words / name).read_bytes())
    one, other = CLIPTokenizer.from_pretrained(words), CLIPTokenizer.from_pretrained(slow)
    for line in [
        "a large blue cross, left of a tiny ring",
        "",
        "Ünïcode 日本 \U0001f600 !?",
        "x  y\n\tz 123 it's",
    ]:
        assert one(line)["input_ids"] == other(line)["input_ids"]
        assert one.unk_token_id not in one(line)["input_ids"][1:-1]
    ids = one("a large blue cross to the left of a small white ring")["input_ids"]
    assert len(ids) == 2 + 12  # every word of the grammar is one token
    assert one.model_max_length == 32


def test_captions_leave_the_last_states_free(words):
    tok = tokenizer.load_tokenizer(words)
    rng = np.random.default_rng(3)
    texts = [scenes.caption(scenes.sample_any(rng), rng) for _ in range(300)]
    ids = tokenizer.encode(tok, texts)
    assert ids.shape == (300, 32)
    assert (ids[:, -len(text.SLOTS) :] == tok.eos_token_id).all()


def test_the_folder_is_a_stable_diffusion_pipeline(tmp_path):
    from diffusers import StableDiffusionPipeline

    folder.write_configs(tmp_path)
    tok = tokenizer.load_tokenizer(tmp_path / "tokenizer")
    encoder = text.make_text_encoder(tok, 3)
    folder.write_text_encoder(tmp_path, encoder)
    folder.write_vae(tmp_path, autoencoder.make_autoencoder())
    folder.write_unet(tmp_path, denoiser.make_denoiser())
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path, torch_dtype=torch.float32, safety_checker=None)
    ours, theirs = (
        text.last_states(encoder, tok, ["a red star"]),
        text.last_states(pipe.text_encoder, tok, ["a red star"]),
    )
    torch.testing.assert_close(theirs, ours, rtol=0, atol=0.02)  # float16 weights
    picture = pipe("a red star", num_inference_steps=1, output_type="np").images
    assert picture.shape == (1, 128, 128, 3)
    assert sum(p.stat().st_size for p in tmp_path.rglob("*.safetensors")) <= 24e6
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["safety_checker"] == [None, None]


def test_an_earlier_folder_is_written_again_and_no_other(tmp_path):
    out = tmp_path / "demo-model"
    folder.check_folder(out)
    folder.write_configs(out)
    folder.check_folder(out)
    (out / "unet" / "config.json").write_text('{"block_out_channels": [320, 640]}')
    with pytest.raises(InputError, match="is a folder with other files"):
        folder.check_folder(out)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        folder.check_folder(tmp_path / "file")


def test_a_second_training_in_the_same_folders_is_refused(tmp_path):
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    args = parser.parse_args(["--run", str(tmp_path / "run"), "--out", str(tmp_path / "out")])
    for taken in ("run", "out"):
        with Claim(tmp_path / taken), pytest.raises(InputError, match="is being written already"):
            train.run(args)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_what_is_written_has_the_rights_that_the_mask_leaves(tmp_path):
    before = os.umask(0o077)
    try:
        folder.write_configs(tmp_path / "out")
        folder.write_vae(tmp_path / "out", autoencoder.make_autoencoder())
        stage.save(tmp_path / "out" / "unet.pt", {"steps": 1})
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stage.load(tmp_path / "out" / "unet.pt") == {"steps": 1}
