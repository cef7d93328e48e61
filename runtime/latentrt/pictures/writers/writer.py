"""Programs that write texts into pictures, and a text as it was understood."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Writer:
    """A program.

    Attributes:
        name: as its makers call it.
        like: whose way of computing it follows: "a1111", "forge", "comfyui" or "diffusers"; empty where that is none of
            these, or not known.
        rng: who draws its noise where the text does not say: "cpu" or "nv", as torch on CUDA; empty: not known.
        grammar: of its prompts, a key of `latentrt.pictures.grammar.GRAMMARS`; empty: they are plain.
        ramps: its schedules are those of k-diffusion, ramps between the model's last and first sigma.
        automatic: where no schedule is said, some samplers have one of their own, as AUTOMATIC1111's since 1.9.
        strength: its "Denoising strength" without a second pass always tells of a picture that was painted over.
        aliases: entries that it calls otherwise than AUTOMATIC1111 does.
        harmless: entries of its own that change no picture.
    """

    name: str
    like: str = ""
    rng: str = ""
    grammar: str = ""
    ramps: bool = False
    automatic: bool = False
    strength: bool = True
    aliases: Mapping[str, str] = field(default_factory=dict)
    harmless: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PictureText:
    """How a picture was made, as its text says.

    Attributes:
        text: as it stands in the picture.
        where: it stands there; empty where it comes from no file.
        writer: the program that wrote it.
        version: of that program; empty where it does not say.
        prompt: what was painted.
        negative_prompt: what it was to stay away from.
        entries: all else by AUTOMATIC1111's names, in the order of the text; what those lack has the writer's names.
        behind: lines behind the entries, which say nothing of the picture.
        unreadable: why nothing can be made of it, though it is known what it is; empty where it can.
    """

    text: str
    where: str
    writer: Writer
    version: str = ""
    prompt: str = ""
    negative_prompt: str = ""
    entries: Mapping[str, str] = field(default_factory=dict)
    behind: tuple[str, ...] = ()
    unreadable: str = ""

    @property
    def made_by(self) -> str:
        """The program and its version: "AUTOMATIC1111 v1.10.1"."""
        return f"{self.writer.name} {self.version}".strip()
