"""Each part of a program's way can be another by itself: named, checked, told in the picture's text, and read back."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import latentrt
from latentrt.cli import main
from latentrt.errors import SettingError
from latentrt.painting.program_parts import OWN, PARTS, PartsKind, parts_of, table, value_in, with_parts
from latentrt.painting.programs import A1111, COMFYUI, PROGRAMS, Program
from latentrt.painting.recall import recall
from latentrt.pictures.metadata import format_parameters
from latentrt.schedule.comfy import Convention

FOLLOWED = [program for program in PROGRAMS.values() if program is not None]
# Sampler and rng are settings of the run; the others say what is known of the program, and turn nothing.
NO_PARTS = {"name", "convention", "sampler", "rng", "samplers", "masking", "stages", "upscalers"}
RUN = {"width": 64, "height": 64, "num_inference_steps": 3, "sampler": "euler", "seed": 7, "rng": "cpu"}


@pytest.fixture(scope="module")
def demo():
    with latentrt.load("demo", device="cpu") as pipeline:
        yield pipeline


def test_every_field_of_a_record_is_a_part():
    names = {field.name for of in (Program, Convention) for field in dataclasses.fields(of)}
    assert {part.field for part in PARTS.values()} == names - NO_PARTS


def test_the_page_shows_every_part():
    """docs/same-picture.md, whose table tools/same_picture.py prints."""
    page = (Path(__file__).parents[3] / "docs" / "same-picture.md").read_text(encoding="utf-8")
    assert "\n".join(table()) in page


@pytest.mark.parametrize("program", FOLLOWED, ids=lambda program: program.name)
def test_what_a_program_does_has_a_name(program):
    assert OWN not in {value_in(program, name) for name in PARTS}
    assert parts_of(program) == {}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, part in PARTS.items() for value in part.values]
)
def test_a_part_is_set_alone(name, value):
    for program in FOLLOWED:
        made = with_parts(program, {name: value})
        assert value_in(made, name) == value
        assert set(parts_of(made)) <= {name}
        assert with_parts(made, {name: value_in(program, name)}) == program


def test_seeds_are_counted_where_the_program_counts_them(demo):
    batch = {"like": "a1111", "num_images": 2, **RUN}
    counted = demo.txt2img("a heart", **batch)
    assert [one.seed for one in counted.parameters] == [7, 8]
    listed = demo.txt2img("a heart", like="a1111", **RUN | {"seed": [7, 8]})
    np.testing.assert_array_equal(counted.latents, listed.latents)
    stream = demo.txt2img("a heart", **batch, like_parts={"batch_seeds": "one_stream"})
    assert [one.seed for one in stream.parameters] == [7, 7]
    np.testing.assert_array_equal(stream.latents[0], counted.latents[0])
    assert not np.array_equal(stream.latents[1], counted.latents[1])


def test_variation_seeds_are_counted_in_place_of_the_seed(demo):
    vary = {"like": "a1111", "variation_strength": 0.5, **RUN}
    counted = demo.txt2img("a heart", num_images=2, variation_seed=3, **vary)
    told = [(one.seed, one.variation_seed) for one in counted.parameters]
    assert told == [(7, 3), (7, 4)]
    second = demo.txt2img("a heart", variation_seed=4, **vary)
    np.testing.assert_allclose(second.latents[0], counted.latents[1], rtol=0, atol=1e-5)


def test_counted_seeds_have_an_end(demo):
    with pytest.raises(SettingError, match="seed: 2 seeds from 18446744073709551615 go beyond"):
        demo.txt2img("a heart", like="a1111", num_images=2, **RUN | {"seed": 2**64 - 1})


@given(
    st.fixed_dictionaries({}, optional={name: st.sampled_from(list(PARTS[name].values)) for name in PARTS})
)
@settings(deadline=None, max_examples=50)
def test_parts_are_written_and_read(parts):
    kind = PartsKind()
    if parts:
        assert kind.read("like_parts", kind.write(parts)) == parts


def test_forge_is_automatic1111_but_for_the_timestep(demo):
    asked = {**RUN, "like_parts": {"timestep": "fractional"}}
    forge = demo.txt2img("a heart", like="forge", **asked)
    np.testing.assert_array_equal(forge.latents, demo.txt2img("a heart", like="a1111", **RUN).latents)
    (parameters,) = forge.parameters
    assert {("Like", "FORGE"), ("Like parts", "timestep=fractional")} <= set(parameters.extra)
    told = recall(format_parameters(parameters))
    assert told["like_parts"] == {"timestep": "fractional"}
    assert "like_parts" not in recall(format_parameters(parameters), like="comfyui")
    np.testing.assert_array_equal(demo.txt2img(**told).latents, forge.latents)


def test_a_record_made_in_python_is_taken_and_told(demo):
    whole = dataclasses.replace(COMFYUI, restarts=False)
    request = demo.start_txt2img("a heart", like=whole, **RUN).request
    assert (request.settings["like"], request.settings["like_parts"]) == (
        "comfyui",
        {"fresh_noise": "continues"},
    )
    own = dataclasses.replace(A1111, img2img=lambda steps, strength: (steps, 1))
    result = demo.txt2img("a heart", like=own, **RUN)
    (parameters,) = result.parameters
    assert ("Like parts", "img2img=own") in parameters.extra
    with pytest.raises(
        SettingError, match="img2img: expected one of a1111, comfyui, exact, diffusers, got 'own'"
    ):
        recall(format_parameters(parameters))
    with pytest.raises(SettingError, match="one of the names comfyui, a1111, forge, got 'mine'"):
        demo.start_txt2img("a heart", like=dataclasses.replace(A1111, name="mine"), **RUN)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"time": "nearest"}, "no such part, 'time'; expected one of timestep, sigmas"),
        (
            {"timestep": "exact"},
            "timestep: expected one of nearest, nearest_float32, fractional, got 'exact'",
        ),
        ("timestep", "a mapping of parts to values"),
    ],
)
def test_wrong_parts_are_refused_with_what_there_is(demo, parts, words):
    with pytest.raises(SettingError, match=words):
        demo.start_txt2img("a heart", like="comfyui", like_parts=parts)
    with pytest.raises(SettingError, match="does nothing with diffusers' way"):
        demo.start_txt2img("a heart", like_parts={"timestep": "nearest"})


def test_the_command_line_takes_several(tmp_path, capsys):
    out = tmp_path / "a.png"
    common = [
        "--size",
        "64x64",
        "--steps",
        "1",
        "--seed",
        "1",
        "--device",
        "cpu",
        "--out",
        str(out),
        "--quiet",
    ]
    several = ["--like-part", "timestep=nearest", "--like-part", "fresh_noise=restarts,timestep=fractional"]
    assert main(["generate", "a heart", "--like", "comfyui", *several, *common]) == 0
    assert "Like parts: timestep=fractional" in latentrt.read_parameters(out)
    assert main(["generate", "a heart", "--like", "comfyui", "--like-part", "timestep", *common]) == 2
    assert (
        "--like-part: expected PART=VALUE, as timestep=fractional, got 'timestep'" in capsys.readouterr().err
    )


def test_the_encoders_draw_and_diffusers_steps_may_be_had_with_a_program(demo):
    picture = demo.decode(np.zeros((1, 4, 8, 8), np.float32))[0]
    asked = {"strength": 0.5, "like": "a1111", "num_inference_steps": 5, "seed": 3}
    mean = demo.start_img2img("a heart", picture, **asked).request
    drawn = {"encoder": "drawn", "img2img": "diffusers"}
    other = demo.start_img2img("a heart", picture, like_parts=drawn, **asked).request
    assert (len(mean.schedule), len(other.schedule)) == (3, 2)
    assert other.program.encoder == "drawn"
    with pytest.raises(SettingError, match="0.1 of 5 steps leaves none; expected at least 0.2"):
        demo.start_img2img("a heart", picture, like_parts=drawn, **{**asked, "strength": 0.1})
