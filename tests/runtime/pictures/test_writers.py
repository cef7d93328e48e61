"""Each program's text is told from the others', and its entries are found under one set of names."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from written_texts import COMMON, DREAM, HEAD, OBJECTS, SD_METADATA

from latentrt.errors import InputError, TextError
from latentrt.painting.recall import recollect
from latentrt.pictures.metadata import GenerationParameters, format_parameters, parse_parameters
from latentrt.pictures.texts import Found
from latentrt.pictures.writers import WRITERS, PictureText, read_text, understood
from latentrt.pictures.writers.programs import LATENTRT

ENTRIES = {"Steps": "20", "Sampler": "Euler a", "CFG scale": "7", "Seed": "5", "Size": "512x768"}


@pytest.mark.parametrize(
    ("entries", "writer", "more"),
    [
        ("", "AUTOMATIC1111", {}),
        (
            ", Model hash: 0a1b2c3d, Version: v1.3.0",
            "AUTOMATIC1111 v1.3.0",
            {"Model hash": "0a1b2c3d", "Downcast alphas_cumprod": "True"},
        ),
        (", Version: v1.10.1-amd-24-g1", "AUTOMATIC1111 v1.10.1-amd-24-g1", {}),
        (", Version: 5ef669d", "AUTOMATIC1111 5ef669d", {}),
        (", Version: f2.0.1v1.10.1-previous-1", "Forge f2.0.1v1.10.1-previous-1", {}),
        (", Version: neo-2.5", "Forge Neo neo-2.5", {}),
        (", App: SD.Next, Version: f1f00d7", "SD.Next f1f00d7", {"App": "SD.Next"}),
        (", Parser: Full parser, Version: 6466d3c", "SD.Next 6466d3c", {"Parser": "Full parser"}),
        (", Version: stable-diffusion.cpp", "stable-diffusion.cpp", {}),
        (", Sharpness: 2, Version: Fooocus v2.5.0", "Fooocus v2.5.0", {"Sharpness": "2"}),
        (", Version: ComfyUI", "ComfyUI", {}),
        (", Version: Something 3", "another program Something 3", {}),
        (
            ', Clip skip: 2, Created Date: 2025-11-28T09:18:43.52Z, Civitai resources: [{"type":"lora","weight":0.8,'
            '"modelVersionId":24, "modelName":"a, b: c"}], Civitai metadata: {"remixOfId":7}',
            "civitai's generator",
            {
                "Clip skip": "2",
                "Created Date": "2025-11-28T09:18:43.52Z",
                "Civitai resources": '[{"type":"lora","weight":0.8,"modelVersionId":24, "modelName":"a, b: c"}]',
                "Civitai metadata": '{"remixOfId":7}',
            },
        ),
    ],
)
def test_who_wrote_automatic1111s_form(entries: str, writer: str, more: dict[str, str]) -> None:
    text = understood(HEAD + COMMON + entries)
    assert text.made_by == writer
    assert (text.prompt, text.negative_prompt) == ("a cat, 12:30", "blurry,\nlow quality")
    assert text.entries == ENTRIES | more
    assert text.behind == ()


@pytest.mark.parametrize(
    ("version", "sampler", "entries", "strength"),
    [
        ("", "DDIM", set(), False),
        (", Version: v1.5.2", "DDIM", {"Downcast alphas_cumprod", "Pad conds v0"}, False),
        (", Version: v1.5.2", "Euler", {"Downcast alphas_cumprod"}, False),
        (", Version: v1.6.0", "DDIM", {"Downcast alphas_cumprod"}, False),
        (", Version: v1.7.0", "DDIM", {"Downcast alphas_cumprod"}, False),
        (", Version: v1.7.0-224-gcb5b335a", "DDIM", {"Downcast alphas_cumprod"}, False),
        (", Version: v1.7.0-225-gcb5b335a", "DDIM", set(), False),
        (", Version: v1.8.0", "DDIM", set(), True),
        (", Version: v1.10.1", "DDIM", set(), True),
        (", Version: f2.0.1v1.10.1", "DDIM", set(), True),
    ],
)
def test_what_older_releases_did_without_a_word(
    version: str, sampler: str, entries: set[str], strength: bool
) -> None:
    text = understood(f"x\nSteps: 20, Sampler: {sampler}, Seed: 5{version}")
    assert text.entries.keys() - {"Steps", "Sampler", "Seed"} == entries
    assert text.writer.strength == strength


@pytest.mark.parametrize(
    ("text", "prompts", "behind"),
    [
        (
            f"{HEAD}{COMMON}\n\nTemplate: a {{b|c}}",
            ("a cat, 12:30", "blurry,\nlow quality"),
            ("Template: a {b|c}",),
        ),
        (f"a cat Negative prompt: blurry {COMMON}", ("a cat", "blurry"), ()),
        (f"a cat Negative prompt: {COMMON}", ("a cat", ""), ()),
        (f"a cat {COMMON}", ("a cat", ""), ()),
        (COMMON, ("", ""), ()),
        (f"Negative prompt: blurry\n{COMMON}", ("", "blurry"), ()),
        (f"a cat\nSteps: 3, of a stair\n{COMMON}", ("a cat\nSteps: 3, of a stair", ""), ()),
        (f"\ufeffa cat\r\nNegative prompt: blurry\r\n{COMMON}", ("a cat", "blurry"), ()),
        (f"a cat, no Negative prompt: here\n{COMMON}", ("a cat, no Negative prompt: here", ""), ()),
    ],
)
def test_where_the_parts_stand(text: str, prompts: tuple[str, str], behind: tuple[str, ...]) -> None:
    made = understood(text)
    assert (made.prompt, made.negative_prompt) == prompts
    assert made.entries == ENTRIES
    assert made.behind == behind


@pytest.mark.parametrize(
    ("line", "entries"),
    [
        ("Steps: 20.0, CFG Scale: 7.5, Seed: 7.0", {"Steps": "20", "CFG scale": "7.5", "Seed": "7"}),
        ("Steps: 20, Clip skip: -2, Seed: 7", {"Steps": "20", "Clip skip": "2", "Seed": "7"}),
        (
            "Steps: 20, Scheduler: karras, size: 8 x 16",
            {"Steps": "20", "Schedule type": "karras", "Size": "8x16"},
        ),
        ("Sampler: Euler, Seed: 7, CFG scale: 7", {"Sampler": "Euler", "Seed": "7", "CFG scale": "7"}),
        ("Steps: 20, Eta DDIM: 0.5, Hires steps: 0", {"Steps": "20", "Eta": "0.5"}),
        (
            'Steps: 20, A: "b, c: d", E: [1, {"f": 2}], G: h',
            {"Steps": "20", "A": "b, c: d", "E": '[1, {"f": 2}]', "G": "h"},
        ),
        ("Steps: 20, A: [1, B: 2", {"Steps": "20", "A": "[1", "B": "2"}),
    ],
)
def test_entries_have_one_form(line: str, entries: dict[str, str]) -> None:
    assert understood(f"x\n{line}").entries == entries


@pytest.mark.parametrize(("made_by", "data", "prompt", "entries"), OBJECTS, ids=[row[0] for row in OBJECTS])
def test_objects_of_json(made_by: str, data: dict[str, Any], prompt: str, entries: dict[str, str]) -> None:
    for written in (json.dumps(data), json.dumps(data, indent=2), "\ufeff" + json.dumps(data)):
        text = understood(written)
        assert (text.made_by, text.prompt, text.negative_prompt) == (made_by, prompt, "blurry")
        assert text.entries == entries


@pytest.mark.parametrize(
    ("said", "entries"),
    [
        # as all versions but the newest state it of samplers that know none
        ("Eta: 0.000000, RNG: cuda, Sampler: euler_a", {"RNG": "cuda", "Sampler": "euler_a"}),
        ("Eta: inf, RNG: cuda, Sampler: euler_a", {"RNG": "cuda", "Sampler": "euler_a"}),
        (
            "Eta: 0.500000, RNG: cuda, Sampler: euler_a",
            {"Eta": "0.500000", "RNG": "cuda", "Sampler": "euler_a"},
        ),
        ("Sampler: dpm++2m karras", {"Sampler": "dpm++2m", "Schedule type": "karras"}),
        (
            "RNG: cuda, Sampler RNG: cuda, Sampler: euler sgm_uniform",
            {"RNG": "cuda", "Sampler": "euler", "Schedule type": "sgm_uniform"},
        ),
        (
            "RNG: cuda, Sampler RNG: cpu, Sampler: dpm2 discrete",
            {"RNG": "cuda", "Sampler RNG": "cpu", "Sampler": "dpm2", "Schedule type": "discrete"},
        ),
    ],
)
def test_stable_diffusion_cpps_entries(said: str, entries: dict[str, str]) -> None:
    text = understood(
        f"a cat\nSteps: 20, CFG scale: 7.000000, Seed: 42, {said}, Version: stable-diffusion.cpp"
    )
    assert text.entries == {"Steps": "20", "CFG scale": "7.000000", "Seed": "42"} | entries


def test_what_swarmui_leaves_out_is_its_own() -> None:
    told = {"prompt": "a cat", "seed": 5, "steps": 20, "cfgscale": 7.0, "width": 64, "height": 64}
    recalled, meant = recollect(understood(json.dumps({"sui_image_params": told})), {})
    assert (recalled["sampler"], recalled["schedule"], recalled["like"]) == ("Euler", "normal", "comfyui")
    assert (meant.unheeded, meant.untold) == ((), ())


def saved(folder: Path, texts: dict[str, str]) -> Path:
    info = PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, text)
    Image.new("RGB", (8, 8)).save(folder / "a.png", pnginfo=info)
    return folder / "a.png"


def read(folder: Path, texts: dict[str, str]) -> PictureText:
    text = read_text(saved(folder, texts))
    assert text is not None
    return text


def test_texts_that_belong_together(tmp_path: Path) -> None:
    novel = {name: data for name, data, *_ in OBJECTS}["NovelAI"]
    del novel["prompt"]
    texts = {"Title": "AI generated image", "Description": "a cat", "Software": "NovelAI"}
    text = read(tmp_path, {**texts, "Source": "NovelAI Diffusion V3 1", "Comment": json.dumps(novel)})
    assert (text.made_by, text.prompt) == ("NovelAI", "a cat")
    assert text.where == "PNG text Comment"
    assert text.entries["Model"] == "NovelAI Diffusion V3 1"

    easy = {"Prompt": "a cat", "Seed": "5", "Steps": "25", "Guidance Scale": "7.5", "Sampler": "euler_a"}
    text = read(tmp_path, {**easy, "Width": "512", "Height": "768", "VAE model": "None"})
    assert text.entries == {
        "Seed": "5",
        "Steps": "25",
        "CFG scale": "7.5",
        "Sampler": "euler_a",
        "Size": "512x768",
    }
    assert text.made_by == "Easy Diffusion"


def test_invokeais_older_texts(tmp_path: Path) -> None:
    wanted = {"Steps": "50", "Seed": "5", "CFG scale": "7.5", "Sampler": "k_lms", "Size": "512x768"}
    for texts, made_by, more in (
        ({"Dream": DREAM}, "InvokeAI", {}),
        ({"sd-metadata": SD_METADATA, "Dream": DREAM}, "InvokeAI 2.3.5", {"Model": "sd-1.5"}),
    ):
        text = read(tmp_path, texts)
        assert (text.made_by, text.prompt, text.negative_prompt) == (made_by, "a cat", "blurry")
        assert text.entries == wanted | more


@pytest.mark.parametrize(
    ("command", "prompt", "entries"),
    [
        (f"{DREAM} -G 0.9 -cf 0.75 -U 4 0.95", "a cat", {"-G": "0.9", "-cf": "0.75", "-U": "4 0.95"}),
        ('"a cat" -s50 -b1 -W512 -H768 -C7.5 -mk_lms -S5', "a cat", {}),
        (
            '"a "big" cat" -s 50 -S 5 -W 512 -H 768 -C 7.5 -A k_lms --seamless -I "my dir/x y.png" -f 0.75',
            'a "big" cat',
            {"--seamless": "True", "-I": "my dir/x y.png", "Denoising strength": "0.75"},
        ),
        (
            '"a cat" -s 50 -S 5 -W 512 -H 768 -C 7.5 -A k_lms -V 3:0.1,4:0.2',
            "a cat",
            {"-V": "3:0.1,4:0.2"},
        ),
    ],
)
def test_invokeais_commands(command: str, prompt: str, entries: dict[str, str]) -> None:
    text = understood((Found("PNG text", "Dream", command),))
    assert text.prompt == prompt
    common = {"Steps": "50", "Seed": "5", "CFG scale": "7.5", "Sampler": "k_lms", "Size": "512x768"}
    assert text.entries == common | entries


@pytest.mark.parametrize("key", ["Dream", "sd-metadata", "invokeai_metadata"])
def test_a_text_of_invokeais_that_is_not_understood_is_told_as_that(tmp_path: Path, key: str) -> None:
    with pytest.raises(TextError, match=f"the text is not understood .PNG text {key}: 'a cat -s 5"):
        read_text(saved(tmp_path, {key: "a cat -s 5"}))


@pytest.mark.filterwarnings("ignore::latentrt.NotTold")
def test_novelai_stated_a_strength_of_all_pictures_once(tmp_path: Path) -> None:
    """Since it says which kind of request it was, the strength is that of a picture which was painted over."""
    old = {
        "steps": 28,
        "sampler": "k_euler",
        "seed": 5,
        "strength": 0.7,
        "noise": 0.2,
        "scale": 11.0,
        "uc": "",
    }
    recalled, meant = recollect(understood(json.dumps({"prompt": "a cat", **old})), {})
    assert recalled["prompt"] == "a cat"
    assert meant.unheeded == (
        "whose noise it was, which is not said",
        "Extra noise",
        "Denoising strength (of a picture that may have been painted over another)",
        "how NovelAI computes",
    )
    with pytest.raises(InputError, match="painted over another picture"):
        recollect(understood(json.dumps({"prompt": "a cat", "request_type": "Img2ImgRequest", **old})), {})


GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 5}},
    "4": {"class_type": "VAEDecode", "inputs": {}},
}


def test_comfyuis_graph_is_told_as_what_it_is(tmp_path: Path) -> None:
    for texts in ({"prompt": json.dumps(GRAPH)}, {"workflow": json.dumps({"nodes": [{}, {}], "links": []})}):
        text = read(tmp_path, texts)
        assert text.made_by == "ComfyUI"
        with pytest.raises(TextError, match="a workflow of ComfyUI, of 2 nodes, which is not read here"):
            recollect(text, {})
    exif = Image.Exif()
    exif[0x0110] = f"prompt:{json.dumps(GRAPH)}"
    Image.new("RGB", (8, 8)).save(tmp_path / "a.webp", exif=exif)
    assert read_text(tmp_path / "a.webp").made_by == "ComfyUI"  # type: ignore[union-attr]


def test_what_a_saver_node_writes_is_read_before_the_graph(tmp_path: Path) -> None:
    text = read(tmp_path, {"prompt": json.dumps(GRAPH), "parameters": f"{HEAD}{COMMON}, Version: ComfyUI"})
    assert (text.made_by, text.unreadable) == ("ComfyUI", "")
    assert text.entries == ENTRIES


def test_draw_things_in_xmp(tmp_path: Path) -> None:
    data = json.dumps({name: data for name, data, *_ in OBJECTS}["Draw Things"]).replace('"', "&quot;")
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/"><exif:UserComment><rdf:Alt><rdf:li>'
        f"{data}</rdf:li></rdf:Alt></exif:UserComment></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    text = read(tmp_path, {"XML:com.adobe.xmp": packet})
    assert (text.made_by, text.where, text.prompt) == ("Draw Things", "XMP UserComment", "a cat")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a cat",
        "a cat\non a mat",
        "Seed: 4, really",
        "a: 1, b: 2",
        "{}",
        '{"a": 1}',
        "[1]",
        "{",
        '{"prompt": "x"}',
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(TextError, match="the text is not understood"):
        understood(text)
    with pytest.raises(TextError, match="the text is not understood"):
        recollect(text, {})
    if text:
        with pytest.raises(TextError, match=r"a\.png: the text is not understood \(PNG text parameters: "):
            read_text(saved(tmp_path, {"parameters": text}))


def test_texts_about_other_things_are_none(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0131] = "Maker", "Camera 5", "Firmware 1"
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_text(tmp_path / "a.jpg") is None
    assert read_text(saved(tmp_path, {"Title": "a house", "Author": "me"})) is None


def test_the_writers_have_names_of_their_own() -> None:
    assert len({writer.name for writer in WRITERS}) == len(WRITERS)
    assert {writer.like for writer in WRITERS} <= {"", "a1111", "forge", "comfyui", "diffusers"}


PIECES = [
    COMMON,
    "Negative prompt:",
    "\n",
    '"',
    "{",
    "}",
    "[",
    ", ",
    ": ",
    "Version: ",
    "latentrt 1",
    "Steps: 3,",
    "Seed: 1",
]
PIECES += [json.dumps(row[1]) for row in OBJECTS] + [
    "Hires upscale: 2",
    "Size: 0x0",
    "Schedule type: x",
    "\\",
    "-5",
]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=8).map("".join)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
INNER = LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(st.text(max_size=3), LEAVES, max_size=3)
VALUES = INNER | st.lists(INNER, max_size=3) | st.dictionaries(st.text(max_size=3), INNER, max_size=3)


def refused_or_read(text: PictureText | str) -> None:
    try:
        recollect(text, {}, plain=True)
    except (TextError, InputError) as error:
        assert str(error)


@settings(max_examples=300)
@given(
    TEXTS,
    st.sampled_from(["parameters", "Comment", "Dream", "sd-metadata", "prompt", "invokeai_metadata", "x"]),
)
def test_no_text_raises_anything_but_our_errors(text: str, key: str) -> None:
    refused_or_read(text)
    with contextlib.suppress(TextError):
        refused_or_read(understood((Found("PNG text", key, text),)))


@settings(max_examples=300)
@given(st.sampled_from(OBJECTS), st.data())
def test_no_object_raises_anything_but_our_errors(
    row: tuple[str, dict[str, Any], str, dict[str, str]], data: Any
) -> None:
    inner = dict(row[1].get("sui_image_params", row[1]))
    for key in data.draw(st.lists(st.sampled_from(list(inner)), max_size=4)):
        inner[key] = data.draw(VALUES)
    changed = {"sui_image_params": inner} if "sui_image_params" in row[1] else inner
    refused_or_read(json.dumps(changed))


@given(
    st.builds(
        GenerationParameters,
        prompt=TEXTS,
        negative_prompt=TEXTS,
        steps=st.integers(1, 99),
        sampler=st.sampled_from(["Euler", "DPM++ 2M"]),
        schedule_type=st.sampled_from(["Automatic", "Uniform", "Karras"]),
        guidance_scale=st.floats(1, 20),
        seed=st.integers(0, 2**64 - 1),
        width=st.integers(1, 999),
        height=st.integers(1, 999),
    )
)
def test_our_own_are_read_as_ours(p: GenerationParameters) -> None:
    text = understood(format_parameters(p))
    assert text.writer is LATENTRT
    assert parse_parameters(format_parameters(p)) == p
    recalled, meant = recollect(text, {})
    assert (recalled["prompt"], recalled.get("negative_prompt", "")) == (p.prompt, p.negative_prompt)
    assert recalled["sampler"] == (f"{p.sampler} Karras" if p.schedule_type == "Karras" else p.sampler)
    assert (recalled["seed"], recalled["guidance_scale"]) == (p.seed, p.guidance_scale)
    assert (meant.unheeded, meant.untold) == ((), ())


@pytest.mark.parametrize(
    "piece",
    ["a", " ", '"', 'a:"', "a: [", "a: {", "Steps: 1,", "Steps: 1, a: 2\n", "{", "[", "Negative prompt:"],
)
def test_a_long_text_takes_no_longer_than_its_length(piece: str) -> None:
    """Quadratic time would be minutes here: the test's timeout is the bound."""
    text = piece * (300_000 // len(piece))
    for whole in (text, f"x\nSteps: 1, {text}", f"x\n{COMMON}\n{text}", f'{{"a": {text}'):
        refused_or_read(whole)
