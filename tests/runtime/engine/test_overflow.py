"""A network that overflows in fp16 computes in fp32 from then on, and says so once; never black, never in silence."""

import shutil
import warnings

import numpy as np
import pytest

import latentrt
from latentrt import NumericsError, Overflowed
from latentrt.cli import main
from latentrt.models.safetensors import write_safetensors
from latentrt.models.weights import read_safetensors

QUICK = {"num_inference_steps": 2, "seed": 1, "guidance_scale": 3.0, "width": 64, "height": 64}
# Of each network: its folder, a tensor, how large its largest number is made, and what the network is fed. The CPU
# provider computes what lies in between in fp32, so that it is outputs that overflow here; of the last, the weights.
LOUD = {
    "vae_decoder": ("vae", "decoder.conv_out.weight", 6e4, {"latent_sample": (1, 4, 8, 8)}),
    "vae_encoder": ("vae", "encoder.conv_out.weight", 6e4, {"sample": (1, 3, 64, 64)}),
    "unet": ("unet", "conv_out.weight", 6e4, {"sample": (1, 4, 8, 8), "timestep": ()}),
    "text_encoder": ("text_encoder", "text_model.final_layer_norm.weight", 1e6, {}),
}
FILES = {"text_encoder": "model"}


def louder(model, folder, name):
    """A copy of a model with one network that overflows in fp16 alone."""
    root = shutil.copytree(model, folder / "loud")
    part, tensor, largest, _ = LOUD[name]
    path = root / part / f"{FILES.get(part, 'diffusion_pytorch_model')}.safetensors"
    tensors = dict(read_safetensors(path))
    quiet = tensors[tensor].astype(np.float32)
    tensors[tensor] = quiet * np.float32(largest / np.abs(quiet).max())
    write_safetensors(path, tensors)
    return root


def fed(name, pipeline):
    """What a network is fed, drawn."""
    rng = np.random.default_rng(0)
    feeds = {key: np.asarray(rng.standard_normal(shape), np.float32) for key, shape in LOUD[name][-1].items()}
    if name == "text_encoder":
        return {"input_ids": pipeline.tokenizer.encode("a ring").ids[None]}
    if name == "unet":
        feeds["encoder_hidden_states"] = rng.standard_normal((1, 32, 128)).astype(np.float32)
    return feeds


@pytest.mark.parametrize("name", LOUD)
def test_it_goes_on_in_fp32_and_says_so_once(random_model, tmp_path, name):
    root = louder(random_model, tmp_path, name)
    with latentrt.load(root, device="cpu", dtype="fp32") as pipeline:
        feeds = fed(name, pipeline)
        wanted = pipeline.runners[name].run(feeds)
        assert pipeline.widened == ()
    assert max(np.abs(value).max() for value in wanted.values()) > 65504
    with latentrt.load(root, device="cpu", dtype="fp16") as pipeline:
        runner = pipeline.runners[name]
        with pytest.warns(
            Overflowed, match=f"^{name} overflows in fp16; from now on it computes in fp32$"
        ) as told:
            ours = runner.run(feeds)
        assert len(told) == 1 and pipeline.widened == (name,)
        pipeline.close()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = runner.run(feeds)
    for key, value in wanted.items():
        np.testing.assert_allclose(ours[key], value, rtol=1e-4, atol=1e-4 * np.abs(value).max())
        np.testing.assert_array_equal(ours[key], again[key])


def test_a_picture_in_tiles_too(random_model, tmp_path):
    root = louder(random_model, tmp_path, "vae_decoder")
    latents = np.random.default_rng(0).standard_normal((1, 4, 20, 24)).astype(np.float32)
    with latentrt.load(root, device="cpu", dtype="fp32") as pipeline:
        wanted = pipeline.autoencoder.decode(latents, 128)
    with latentrt.load(root, device="cpu", dtype="fp16") as pipeline, pytest.warns(Overflowed) as told:
        ours = pipeline.autoencoder.decode(latents, 128)
    assert len(told) == 1
    # The moments that came before the overflow were fp16's.
    assert np.abs(ours - wanted).max() < 1e-2 * np.abs(wanted).max()


def test_what_is_broken_in_fp32_too_is_an_error(random_model, tmp_path):
    root = shutil.copytree(random_model, tmp_path / "broken")
    path = root / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = dict(read_safetensors(path))
    tensors["decoder.conv_out.bias"] = np.full_like(tensors["decoder.conv_out.bias"], np.nan)
    write_safetensors(path, tensors)
    with (
        latentrt.load(root, device="cpu", dtype="fp16") as pipeline,
        pytest.warns(Overflowed),
        pytest.raises(
            NumericsError, match=r"vae_decoder\.sample: NaN or infinity came out; the weights are broken"
        ),
    ):
        pipeline.txt2img("a ring", **QUICK)


@pytest.mark.filterwarnings("default")
def test_the_command_line_tells_it(random_model, tmp_path, monkeypatch, capsys):
    root = louder(random_model, tmp_path, "vae_decoder")
    monkeypatch.chdir(tmp_path)
    words = ["generate", "a ring", "--model", str(root), "--device", "cpu", "--dtype", "fp16", "--steps", "1"]
    assert main([*words, "--size", "64x64", "--seed", "1", "--out", "x.png"]) == 0
    said = capsys.readouterr().err
    assert (
        said.count("latentrt: warning: vae_decoder overflows in fp16; from now on it computes in fp32") == 1
    )
    assert "cpu fp16 (vae_decoder fp32): " in said
