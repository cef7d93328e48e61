"""What ComfyUI computed from workflows: each case with its workflow, its arrays and how much may differ."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One workflow, in the API's format, and the arrays that came of it, by what they are and the number of a node."""

    workflow: dict[str, Any]
    arrays: dict[str, np.ndarray]
    tolerance: dict[str, float]

    def node(self, kind: str) -> tuple[str, dict[str, Any]]:
        """The only one of its kind: its number, and what it was given."""
        found = self.nodes(kind)
        assert len(found) == 1
        return found[0]

    def nodes(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """All of a kind, in their order."""
        return [(key, node["inputs"]) for key, node in self.workflow.items() if node["class_type"] == kind]

    def text(self, link: list[Any]) -> str:
        """The prompt of a conditioning."""
        return str(self.workflow[link[0]]["inputs"]["text"])


def read_case(index: Path, name: str) -> Case:
    entry = next(case for case in json.loads(index.read_text())["cases"] if case["name"] == name)
    workflow = json.loads((index.parent / entry["workflow"]).read_text())
    with np.load(index.parent / entry["arrays"]) as arrays:
        return Case(workflow, dict(arrays), entry["tolerance"])


def masks(case: Case, folder: Path) -> dict[str, object]:
    """What a workflow with a mask gives to `Pipeline.inpaint`: the picture, the mask, what is put under it."""
    nodes = case.workflow.values()
    images = {
        one["class_type"]: folder / "input" / one["inputs"]["image"]
        for one in nodes
        if "image" in one["inputs"]
    }
    given: dict[str, object] = {
        "image": images["LoadImage"],
        "mask": images.get("LoadImageMask", images["LoadImage"]),
    }
    if any(one["class_type"] == "VAEEncodeForInpaint" for one in nodes):
        grown = case.node("VAEEncodeForInpaint")[1]["grow_mask_by"]
        given |= {"masked_content": "grey", "grow_mask": grown}
    return given
