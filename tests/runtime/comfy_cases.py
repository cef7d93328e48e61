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
        found = [(key, node["inputs"]) for key, node in self.workflow.items() if node["class_type"] == kind]
        assert len(found) == 1
        return found[0]

    def text(self, link: list[Any]) -> str:
        """The prompt of a conditioning."""
        return str(self.workflow[link[0]]["inputs"]["text"])


def read_case(index: Path, name: str) -> Case:
    entry = next(case for case in json.loads(index.read_text())["cases"] if case["name"] == name)
    workflow = json.loads((index.parent / entry["workflow"]).read_text())
    with np.load(index.parent / entry["arrays"]) as arrays:
        return Case(workflow, dict(arrays), entry["tolerance"])
