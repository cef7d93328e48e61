"""`latentrt info PICTURE`: what a picture's text says, who wrote it, and what would come of it."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jp2", ".avif", ".ppm")


def is_picture(name: str) -> bool:
    """Whether a file of that name is there and, by its suffix, a picture."""
    path = Path(name)
    return path.suffix.lower() in SUFFIXES and path.is_file()


def describe(name: str) -> dict[str, Any]:
    """Everything shown, as plain data."""
    from latentrt.errors import TextError
    from latentrt.pictures.images import load_image, read_texts
    from latentrt.pictures.writers import read_text

    width, height = load_image(name).size
    with warnings.catch_warnings(action="ignore"):  # of the file, which were told just now
        found = read_texts(name)
        try:
            text, refused = read_text(name), None
        except TextError as error:
            text, refused = None, str(error)
    facts: dict[str, Any] = {
        "name": Path(name).name,
        "path": name,
        "kind": "picture",
        "width": width,
        "height": height,
        "texts": [{"place": one.where, "text": one.text} for one in found],
        "writer": None,
        "text": None,
        "refused": refused,
    }
    if text is None:
        return facts
    writer = text.writer
    return facts | {
        "writer": {"name": writer.name, "version": text.version or None, "like": writer.like or None},
        "place": text.where or None,
        "text": text.text,
        "prompt": text.prompt,
        "negative_prompt": text.negative_prompt,
        "entries": dict(text.entries),
        "behind": list(text.behind),
        **_meant(text),
    }


def _meant(text: Any) -> dict[str, Any]:
    """What `--from` would make of it, and why it would make nothing."""
    from latentrt.cli.options import in_options
    from latentrt.errors import InputError, TextError
    from latentrt.painting.picture_settings import NOISE_LEVEL_ENTRY, Img2ImgSettings, UpscaleSettings
    from latentrt.painting.recall import recollect
    from latentrt.painting.text_meaning import meaning, over_picture

    refused, meant = None, None
    settings: dict[str, Any] = {}
    for plain in (False, True):  # of a prompt that is no plain text, the rest is told all the same
        try:
            recalled, meant = recollect(text, {}, plain=plain)
            settings = dict(recalled)
            break
        except (InputError, TextError) as error:
            refused = refused or (in_options(error) if isinstance(error, InputError) else str(error))
    if meant is None and not text.unreadable and over_picture(text):
        try:
            enlarged = NOISE_LEVEL_ENTRY in text.entries
            meant = meaning(text, UpscaleSettings if enlarged else Img2ImgSettings, plain=True)
            settings = {name: value for name, value in meant.settings.items() if value is not None}
        except InputError:
            pass
    if "hires" in settings:
        settings["hires"] = dataclasses.asdict(settings["hires"])
    if "fast" in settings:
        settings["fast"] = str(settings["fast"])
    return {
        "settings": settings or None,
        "noise": None if meant is None else meant.noise,
        "not_heeded": [] if meant is None else list(meant.unheeded),
        "not_told": [] if meant is None else list(meant.untold),
        "refused": refused,
    }


def lines(facts: dict[str, Any]) -> str:
    """The same as text."""
    made = [f"{facts['name']}: picture, {facts['width']}x{facts['height']}"]
    if facts["writer"] is None:
        for found in facts["texts"]:
            made += _rows(found["place"], found["text"])
        if not facts["texts"]:
            made.append("  text       none")
        return "\n".join([*made, *_rows("refused", facts["refused"] or "")])
    version = f" {facts['writer']['version']}" if facts["writer"]["version"] else ""
    made += _rows("writer", facts["writer"]["name"] + version)
    # Of latentrt's own pictures the text says it.
    like = (facts["settings"] or {}).get("like") or facts["writer"]["like"]
    made += _rows("computes", f"like {like}" if like else "in a way not known here")
    made += _rows("place", facts["place"] or "")
    made += _rows("text", facts["text"])
    made += _rows("behind it", "\n".join(facts["behind"]))
    for name, value in (facts["settings"] or {}).items():
        made.append(f"  setting    {name}: {value}")
    made += _rows("noise", facts["noise"] or "")
    made += _rows("not heeded", ", ".join(facts["not_heeded"]))
    made += _rows("not told", ", ".join(facts["not_told"]))
    made += _rows("refused", facts["refused"] or "")
    return "\n".join(made)


def _rows(title: str, text: str) -> list[str]:
    """A title, and a text of one line or more beside it; nothing of an empty one."""
    rows = text.split("\n") if text else []
    return [f"  {title if i == 0 else '':<10} {row}".rstrip() for i, row in enumerate(rows)]
