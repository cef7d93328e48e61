"""How many of AUTOMATIC1111's and ComfyUI's recorded pictures we paint.

    LATENTRT_TEST_DATA=DATA python tools/same_picture.py
    LATENTRT_TEST_DATA=DATA python tools/same_picture.py --comfyui synth-sd15.safetensors

Prints the tables of docs/same-picture.md. The parts of every program; and AUTOMATIC1111's cases by kind, by our
settings and by the program's own texts: within the tolerance that the program has against itself; further off, with a
warning that says so, and without; and refused, since something of them is not computed as there. Or ComfyUI's, of a
whole checkpoint that the recipe beside the cases makes: within the tolerance stated with them, and how near; further
off; and not run, since something of their workflow has no word here.
"""

import argparse
import json
import os
import sys
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

import latentrt
from latentrt.errors import LatentrtError
from latentrt.painting.program_parts import table
from latentrt.painting.recall import recall
from latentrt.pipeline import Pipeline

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "runtime"))
import comfy_cases
from a1111_cases import Case, asked, names, read_case
from comfy_runs import latents_of, unsaid

DATA = Path(os.environ["LATENTRT_TEST_DATA"])
INDEX = DATA / "a1111" / "index.json"
COMFYUI = DATA / "comfy" / "index.json"
# What a case asks for that no setting of ours says: it counts as refused by settings.
UNKNOWN = ("emphasis",)
RESULTS = ("within", "off", "unsaid", "refused")


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--comfyui", type=Path, metavar="FILE", help="the checkpoint of ComfyUI's cases")
    file = parser.parse_args().comfyui
    if file is None:
        automatic1111()
    else:
        comfyui(file)
    return 0


def comfyui(file: Path) -> None:
    """ComfyUI's table."""
    rows: dict[str, list[tuple[str, float, list[str]]]] = defaultdict(list)
    with latentrt.load(file, device="cpu") as pipeline:
        for entry in json.loads(COMFYUI.read_text())["cases"]:
            rows[entry["kind"]].append(compared(pipeline, comfy_cases.read_case(COMFYUI, entry["name"])))
    print(
        "| kind | cases | within, off, not run | the furthest of those within, of its tolerance | not run |"
    )
    print("|---|---|---|---|---|")
    for kind, found in (*rows.items(), ("**all**", [one for some in rows.values() for one in some])):
        counted = Counter(result for result, _, _ in found)
        furthest = max((share for result, share, _ in found if result == "within"), default=None)
        missing = sorted({one for _, _, some in found for one in some}) if kind in rows else []
        cells = (
            ", ".join(str(counted[result]) for result in ("within", "off", "not run")),
            "" if furthest is None else f"{furthest:.2g}",
            ", ".join(missing),
        )
        print(f"| {kind} | {len(found)} | {' | '.join(cells)} |")


def compared(pipeline: Pipeline, case: comfy_cases.Case) -> tuple[str, float, list[str]]:
    """What came of a workflow, how far it is off in shares of its tolerance, and what of it has no word here."""
    if missing := unsaid(case):
        return "not run", 0, missing
    try:
        found = latents_of(pipeline, case, COMFYUI.parent)
    except LatentrtError as error:
        return "not run", 0, [str(error).partition(";")[0]]
    off = max(float(np.abs(latents - case.arrays[f"latent_{node}"]).max()) for node, latents in found.items())
    share = off / case.tolerance["latent_abs"]
    return ("within" if share <= 1 else "off"), share, []


def automatic1111() -> None:
    """The parts, and AUTOMATIC1111's table."""
    print(*table(), sep="\n", end="\n\n")
    rows: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: {"settings": Counter(), "text": Counter()})
    with latentrt.load("demo", device="cpu") as pipeline:
        for name in names(INDEX):
            case = read_case(INDEX, name)
            kind = name.partition("_")[0]
            rows[kind]["settings"][by_settings(pipeline, case)] += 1
            rows[kind]["text"][by_text(pipeline, case)] += 1
    print("| kind | cases | by settings: within, off, off unsaid, refused | by the text: the same |")
    print("|---|---|---|---|")
    total = {"settings": Counter[str](), "text": Counter[str]()}
    for kind, counted in rows.items():
        print(row(kind, counted))
        for by, counts in counted.items():
            total[by].update(counts)
    print(row("**all**", total))


def row(kind: str, counted: dict[str, Counter[str]]) -> str:
    """A row of the table."""
    cells = (", ".join(str(counts[result]) for result in RESULTS) for counts in counted.values())
    return f"| {kind} | {counted['text'].total()} | {' | '.join(cells)} |"


def by_settings(pipeline: Pipeline, case: Case) -> str:
    """What comes of the case's settings."""
    told = {**case.settings, **case.settings["override_settings"]}
    prompt = case.settings["prompt"]
    if any(told.get(name) for name in UNKNOWN) or any(
        sign in prompt for sign in ("(", "[", " AND ", " BREAK ")
    ):
        return "refused"
    strength = {"strength": told["denoising_strength"]} if "init_images" in told else {}
    return painted(pipeline, case, {**asked(case), "prompt": prompt, **strength}, slice(None))


def by_text(pipeline: Pipeline, case: Case) -> str:
    """What comes of the text of the case's last picture."""
    run = "inpaint" if "mask" in case.settings else "img2img" if "init_images" in case.settings else "txt2img"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            told: dict[str, Any] = dict(recall(case.infotexts[-1], run=run))
        except LatentrtError:
            return "refused"
        result = painted(pipeline, case, told, slice(len(case.infotexts) - 1, None))
    return "unsaid" if result == "off" and not said else result


def picture(case: Case) -> Path:
    """What the case paints over."""
    return INDEX.parent / str(case.settings["init_images"][0])


def painted(pipeline: Pipeline, case: Case, told: dict[str, Any], which: slice) -> str:
    """Paint, and compare."""
    prompt = told.pop("prompt")
    try:
        if "mask" in case.settings:
            result = pipeline.inpaint(prompt, picture(case), INDEX.parent / case.settings["mask"], **told)
        elif "init_images" in case.settings:
            result = pipeline.img2img(prompt, picture(case), **told)
        else:
            result = pipeline.txt2img(prompt, **told)
    except LatentrtError:
        return "refused"
    wanted = case.arrays["final"][which]
    same = result.latents.shape == wanted.shape and np.abs(result.latents - wanted).max() <= case.tolerance
    return "within" if same else "off"


if __name__ == "__main__":
    sys.exit(main())
