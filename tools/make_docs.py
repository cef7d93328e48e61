"""Write the API reference of the runtime's public face: python tools/make_docs.py build/docs

What is public is what `latentrt.__all__` names, and what those of its modules name in turn. A warning is an error.
"""

import inspect
import re
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pdoc

import latentrt

# Types as a reader knows them, which Python has resolved into what is too long to read.
SPELLINGS = {
    r"numpy\.ndarray\[tuple\[typing\.Any, \.\.\.\], numpy\.dtype\[((?:[^\[\]]|\[[^\]]*\])*)\]\]": r"NDArray[\1]",
    r"\*<class '([^']*)'>": r"Unpack[\1]",
    r"\btyping\.": "",
    r"(?s)Annotated\[(.*?), Setting\(.*\)\]": r"\1",
    r".*_HasDType.*": "DTypeLike",
}
resolved = inspect.formatannotation


def spelled(annotation: Any, *options: Any) -> str:
    """A type as text."""
    text = resolved(annotation, *options)
    for pattern, spelling in SPELLINGS.items():
        text = re.sub(pattern, spelling, text)
    return text


def main() -> None:
    warnings.simplefilter("error")
    # A TypedDict does not tell which of its keys are another's; pdoc shows them where they are, which is right.
    warnings.filterwarnings("ignore", r"Cannot determine where latentrt\.\w*Settings\.\w+ is taken from")
    for name in latentrt.__all__:  # pdoc shows what is there: what is lazy is fetched first
        getattr(latentrt, name)
    pdoc.render.configure(docformat="google", footer_text=f"latentrt {latentrt.__version__}")
    with patch("inspect.formatannotation", spelled), patch("pdoc.doc.formatannotation", spelled):
        pdoc.pdoc("latentrt", "!latentrt.samplers.names", output_directory=Path(sys.argv[1]))


if __name__ == "__main__":
    main()
