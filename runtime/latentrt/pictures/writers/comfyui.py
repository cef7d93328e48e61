"""ComfyUI: a graph of nodes under `prompt`, and its drawing under `workflow`.

What its saver nodes write beside them in AUTOMATIC1111's form is read as that. A graph may compute anything: it is told
of, and not read.
"""

from typing import Any

from latentrt.pictures.writers.found import Texts, object_of
from latentrt.pictures.writers.programs import COMFY_UI
from latentrt.pictures.writers.writer import PictureText


def read(texts: Texts) -> PictureText | None:
    """Its graph, told as what it is."""
    for found in texts.found:
        # WebP has it in EXIF, behind its name.
        data = object_of(found.text) or object_of(found.text.partition(":")[2])
        nodes = None if data is None else _nodes(data)
        if nodes:
            return PictureText(
                found.text,
                found.where,
                COMFY_UI,
                unreadable=f"a workflow of ComfyUI, of {nodes} nodes, which is not read here; say prompt and settings, "
                "or save pictures there by a node that writes AUTOMATIC1111's text",
            )
    return None


def _nodes(data: dict[str, Any]) -> int:
    """How many nodes a graph has, or the drawing of one; 0: it is neither."""
    drawn = data.get("nodes")
    if isinstance(drawn, list) and "links" in data:
        return len(drawn)
    inner = data.get("prompt")
    if isinstance(inner, dict):
        data = inner
    nodes = [node for node in data.values() if isinstance(node, dict) and "class_type" in node]
    return len(nodes)
