"""From the texts of a picture to what they say: which program wrote them, prompts, and entries under one set of names.

The stages: `latentrt.pictures.texts` finds the texts; a reader here knows its program's and makes entries of them;
`latentrt.painting.recall` makes settings of those. To add a program: a row in `programs.py`, and a reader in `READERS`
where its texts have a form of their own.
"""

from collections.abc import Callable
from pathlib import Path

from latentrt.errors import TextError
from latentrt.pictures.texts import Found
from latentrt.pictures.writers import (
    comfyui,
    draw_things,
    easy_diffusion,
    fooocus,
    infotext,
    invokeai,
    novelai,
    swarmui,
)
from latentrt.pictures.writers.found import Texts
from latentrt.pictures.writers.programs import WRITERS
from latentrt.pictures.writers.writer import PictureText, Writer

__all__ = ["READERS", "WRITERS", "PictureText", "Writer", "read_text", "understood"]

# In the order in which they are asked. ComfyUI's graph stands beside what its saver nodes write, and is the last.
READERS: tuple[Callable[[Texts], PictureText | None], ...] = (
    swarmui.read,
    fooocus.read,
    draw_things.read,
    novelai.read,
    invokeai.read,
    infotext.read,
    easy_diffusion.read,
    comfyui.read,
)


def read_text(path: Path | str) -> PictureText | None:
    """What a picture file says of how it was made; None where it carries no text.

    Raises:
        ImageError: the picture cannot be read.
        TextError: it carries a text where programs say how they made it, and that is not understood.
    """
    from latentrt.pictures.images import read_texts

    texts = Texts(read_texts(path))
    made = _read(texts)
    if made is None and _telling(texts) is not None:
        raise TextError(f"{path}: {_not_understood(texts)}")
    return made


def understood(text: str | tuple[Found, ...]) -> PictureText:
    """What a text says, or the texts of one picture together.

    Raises:
        TextError: it is of no form that is known.
    """
    texts = Texts((Found("", "parameters", text),) if isinstance(text, str) else text)
    made = _read(texts)
    if made is None:
        raise _not_understood(texts)
    return made


def _read(texts: Texts) -> PictureText | None:
    return next((made for reader in READERS if (made := reader(texts)) is not None), None)


def _telling(texts: Texts) -> Found | None:
    """The first text that stands where programs say how they made a picture."""
    own = (found for found in texts.found if found.key in invokeai.KEYS)
    return next(texts.of_parameters(), None) or next(own, None)


def _not_understood(texts: Texts) -> TextError:
    found = _telling(texts) or next(iter(texts.found), Found("", "", ""))
    return TextError(
        f"the text is not understood ({found.where}: {' '.join(found.text[:60].split())!r}); expected that of a "
        f"program which makes pictures, as {', '.join(writer.name for writer in WRITERS)}"
    )
