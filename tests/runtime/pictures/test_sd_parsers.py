"""What sd-parsers reads of pictures' texts is read the same here, but for what it reads wrong.

It knows five writers, and of those not every form; it takes no text for what it means.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sd_parsers import Eagerness, ParserManager
from written_texts import COMMON, DREAM, HEAD, OBJECTS, SD_METADATA

from latentrt.pictures.writers import PictureText, read_text

PARSERS = ParserManager(eagerness=Eagerness.EAGER)
NAMES = {"steps": "Steps", "seed": "Seed", "cfg_scale": "CFG scale", "scheduler": "Schedule type"}
# Our names of the programs that it knows.
GENERATORS = {"AUTOMATIC1111": "", "Fooocus": "Fooocus", "InvokeAI": "InvokeAI", "NovelAI": "NovelAI"}

# Entries that it reads otherwise, and why ours is right.
OTHERWISE = {
    "04-neg-and-steps-one-line.png": {"negative_prompt"},  # it knows the prompts by lines alone
    "08-utf8-in-text-chunk.png": {"prompt"},  # UTF-8 in tEXt, which it leaves in Latin-1
    "one line": {"prompt", "negative_prompt"},
    "a mark": {"prompt"},  # which it keeps
    "a prompt that says it": {"prompt", "negative_prompt"},  # within a line
    "Fooocus v2.5.5": {"negative_prompt"},  # of the two prompts that stand there, that which was painted
    "InvokeAI 5.4.2": {"Sampler"},  # "_k" is Karras
    "NovelAI": {"Model"},  # whose hash it takes for its own
}
# Texts that it does not read, for what it is.
UNREAD = {
    "04-fooocus-json.png": "without base_model",
    "13-usercomment-in-ifd0.jpg": "EXIF's first directory",
    "14-usercomment-bom.jpg": "a byte order mark",
    "Draw Things": "no writer of its",
    "Easy Diffusion": "no writer of its",
    "SwarmUI 0.9.6.2": "no writer of its",
}


def theirs(path: Path) -> dict[str, Any] | None:
    """What it reads, by our names; of what it knows no name of there is none."""
    read = PARSERS.parse(path)
    if read is None:
        return None
    (sampler,) = read.samplers
    told = {NAMES.get(name, name): value for name, value in sampler.parameters.items()}
    told |= {"Sampler": sampler.name, "Size": read.metadata.get("Size")}
    if "width" in read.metadata:
        told["Size"] = f"{read.metadata['width']}x{read.metadata['height']}"
    if sampler.model is not None:
        told["Model"] = sampler.model.name
    kept = (*NAMES.values(), "Sampler", "Size", "Model")
    return {
        "generator": read.generator.value,
        "prompt": ", ".join(map(str, read.prompts)),
        "negative_prompt": ", ".join(map(str, read.negative_prompts)),
        **{name: str(told[name]) for name in kept if told.get(name) is not None},
    }


def differing(text: PictureText, read: dict[str, str]) -> set[str]:
    ours = {"prompt": text.prompt, "negative_prompt": text.negative_prompt, **text.entries}
    return {name for name in read if name != "generator" and not same(read[name], ours.get(name, ""))}


def same(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return one == other


def check(name: str, path: Path) -> bool:
    """Whether both read it, and the same."""
    text, read = read_text(path), theirs(path)
    assert text is not None, name
    if read is None:
        return False
    writer = GENERATORS[read["generator"]]
    assert not writer or text.writer.name == writer, name
    assert differing(text, read) == OTHERWISE.get(name, set()), name
    return True


def saved(folder: Path, texts: dict[str, str]) -> Path:
    info = PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, text)
    Image.new("RGB", (8, 8)).save(folder / "a.png", pnginfo=info)
    return folder / "a.png"


NOVEL_AI = {"Description": "a cat", "Software": "NovelAI", "Source": "NovelAI Diffusion V3 1D44"}
TEXTS = {
    "plain": {"parameters": HEAD + COMMON},
    "one line": {"parameters": f"a cat Negative prompt: blurry {COMMON}"},
    "a mark": {"parameters": f"\ufeffa cat\n{COMMON}"},
    "a prompt that says it": {"parameters": f"a cat, no Negative prompt: here\n{COMMON}"},
    "behind": {"parameters": f"{HEAD}{COMMON}\n\nTemplate: a cat"},
    "Dream": {"Dream": DREAM},
    "Dream, and what came behind it": {"Dream": f"{DREAM} -G 0.9 -cf 0.75 -U 4 0.95"},
    "sd-metadata": {"sd-metadata": SD_METADATA, "Dream": DREAM},
} | {
    made_by: {
        {"InvokeAI 5.4.2": "invokeai_metadata", "NovelAI": "Comment"}.get(made_by, "parameters"): json.dumps(
            data
        ),
        **(NOVEL_AI if made_by == "NovelAI" else {}),
    }
    for made_by, data, *_ in OBJECTS
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_of_each_kind(name: str, tmp_path: Path) -> None:
    assert check(name, saved(tmp_path, TEXTS[name])) == (name not in UNREAD)


def test_texts_that_were_once_read_wrong(data_file) -> None:
    for path in sorted((data_file("cases/README.md").parent / "metadata").iterdir()):
        assert check(path.name, path) == (path.name not in UNREAD), path.name


def test_every_text_of_automatic1111(data_file, tmp_path: Path) -> None:
    index = json.loads(data_file("a1111/index.json").read_text(encoding="utf-8"))
    for case in index["cases"]:
        for text in (*case["infotexts"], *(one["text"] for one in case.get("also_texts", ()))):
            assert check(case["name"], saved(tmp_path, {"parameters": text})), case["name"]
