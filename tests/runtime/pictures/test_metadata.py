"""The AUTOMATIC1111 `parameters` text: what we write, what others wrote, and the way back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentrt._version import __version__
from latentrt.pictures.metadata import GenerationParameters, format_parameters, parse_parameters

WHOLE = GenerationParameters(
    prompt="a cat, watercolour",
    negative_prompt="blurry, text",
    steps=20,
    sampler="DPM++ 2M",
    schedule_type="Karras",
    guidance_scale=7.0,
    seed=0,
    width=512,
    height=384,
    model_hash="0a1b2c3d4e",
    model="mine, v1",
    strength=0.75,
    clip_skip=2,
)


def test_the_text_is_automatic1111s() -> None:
    assert format_parameters(WHOLE) == (
        "a cat, watercolour\n"
        "Negative prompt: blurry, text\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 0, Size: 512x384, "
        'Model hash: 0a1b2c3d4e, Model: "mine, v1", Denoising strength: 0.75, Clip skip: 2, '
        f"Version: latentrt {__version__}"
    )


def test_what_is_unknown_is_left_out() -> None:
    text = format_parameters(GenerationParameters("a cat", steps=1, guidance_scale=0.0, seed=7))
    assert text == f"a cat\nSteps: 1, CFG scale: 0, Seed: 7, Version: latentrt {__version__}"


def test_a_text_of_automatic1111_is_read() -> None:
    text = (
        "masterpiece, (a cat:1.2)\n<lora:toy:0.8>, at night\nNegative prompt: bad hands,\nlow quality\n"
        "Steps: 28, Sampler: Euler a, Schedule type: Automatic, CFG scale: 5.5, Seed: 3052626409, Size: 832x1216, "
        "Model hash: e3c47aedb0, Model: some_model-v31, Denoising strength: 0.4, RNG: CPU, "
        'Lora hashes: "toy: 0123456789ab, other: ba9876543210", Hires upscale: 1.5, Version: v1.10.1'
    )
    p = parse_parameters(text)
    assert p.prompt == "masterpiece, (a cat:1.2)\n<lora:toy:0.8>, at night"
    assert p.negative_prompt == "bad hands,\nlow quality"
    assert (p.steps, p.sampler, p.schedule_type, p.guidance_scale) == (28, "Euler a", "Automatic", 5.5)
    assert (p.seed, p.width, p.height, p.strength) == (3052626409, 832, 1216, 0.4)
    assert (p.model, p.model_hash, p.version) == ("some_model-v31", "e3c47aedb0", "v1.10.1")
    hashes = ("Lora hashes", "toy: 0123456789ab, other: ba9876543210")
    assert p.extra == (("RNG", "CPU"), hashes, ("Hires upscale", "1.5"))
    assert parse_parameters(format_parameters(p)) == p


@pytest.mark.parametrize("text", ["", "a cat", "a cat\non a mat", "Seed: 4, really", "a: 1, b: 2"])
def test_a_text_without_settings_is_a_prompt(text: str) -> None:
    p = parse_parameters(text)
    assert (p.prompt, p.negative_prompt, p.seed, p.version) == (text, "", None, None)


def test_nonsense_values_are_left_out() -> None:
    p = parse_parameters(
        'x\nSteps: many, CFG scale: nan, Seed: 1.5, Size: 5, Eta: inf, Model: "\\x", Version: v1'
    )
    assert (p.steps, p.guidance_scale, p.seed, p.width, p.eta) == (None, None, None, None, None)
    assert p.model == '"\\x"'


def test_ambiguous_prompts_say_themselves_exactly() -> None:
    p = GenerationParameters("dog\nNegative prompt: cat ", steps=3)
    text = format_parameters(p)
    assert text.endswith('Exact prompt: "dog\\nNegative prompt: cat ", Exact negative prompt: ""')
    assert parse_parameters(text) == p
    assert "Exact" not in format_parameters(WHOLE)


@pytest.mark.parametrize(
    "piece",
    ["a", " ", "-", "\t", '"', "\\", 'a:"', "a:", "a: ", 'a:"\\', ":", ",", "\n", "a-", "Steps: 1,", "9"],
)
def test_a_long_text_takes_no_longer_than_its_length(piece: str) -> None:
    """Quadratic time would be minutes here: the test's timeout is the bound."""
    text = piece * (400_000 // len(piece))
    for whole in (text, f"x\nSteps: 1, {text}", f'x\nSteps: 1, a: "{text}'):
        parse_parameters(whole)


PIECES = [
    "Steps: 3, Sampler: x, Seed: 1",
    "Negative prompt:",
    "\n",
    '"',
    "\\",
    ", ",
    ": ",
    "Version: 1",
    '"a": "b',
    " ",
]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=6).map("".join)
FLOATS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
NATURALS = st.none() | st.integers(0, 99999)


@settings(max_examples=200)
@given(
    st.builds(
        GenerationParameters,
        prompt=TEXTS,
        negative_prompt=TEXTS,
        steps=NATURALS,
        sampler=st.none() | TEXTS,
        schedule_type=st.none() | TEXTS,
        guidance_scale=FLOATS,
        seed=st.none() | st.integers(0, 2**64 - 1),
        model_hash=st.none() | TEXTS,
        model=st.none() | TEXTS,
        strength=FLOATS,
        clip_skip=NATURALS,
        eta=FLOATS,
        variation_seed=st.none() | st.integers(0, 2**64 - 1),
        variation_strength=FLOATS,
        version=st.none() | TEXTS,
        extra=st.dictionaries(st.sampled_from(["RNG", "VAE hash", "Hires-fix/x"]), TEXTS).map(
            lambda d: tuple(d.items())
        ),
    ),
    st.none() | st.tuples(st.integers(1, 99999), st.integers(1, 99999)),
)
def test_what_is_written_is_read_again(p: GenerationParameters, size: tuple[int, int] | None) -> None:
    if size is not None:
        p = GenerationParameters(**{**vars(p), "width": size[0], "height": size[1]})
    text = format_parameters(p)
    assert "\n" not in text.rsplit("\n", 1)[1]
    assert parse_parameters(text) == p


@given(st.text())
def test_no_text_makes_an_error(text: str) -> None:
    p = parse_parameters(text)
    assert parse_parameters(format_parameters(p)) == p
