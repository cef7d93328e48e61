"""The parts of a program's record by name, and the values that a run may be given of each, whatever the program."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from latentrt.errors import SettingError
from latentrt.painting.programs import A1111, COMFYUI, PROGRAMS, Program, diffusers_img2img, exact
from latentrt.schedule.comfy import Convention


@dataclass(frozen=True)
class Part:
    """A part of a record.

    Attributes:
        field: of `Program`, or of its `Convention`.
        words: what it decides.
        values: what it may be, by name; names that are programs' say whose way it is.
    """

    field: str
    words: str
    values: Mapping[str, Any]


def _own(*values: str) -> Mapping[str, str]:
    """Values that are their own names."""
    return {value: value for value in values}


def _programs(field: str, **others: Any) -> Mapping[str, Any]:
    """Those of AUTOMATIC1111 and ComfyUI, and others."""
    return {"a1111": _get(A1111, field), "comfyui": _get(COMFYUI, field), **others}


def _get(program: Program, field: str) -> Any:
    return getattr(program if field in _OF_PROGRAM else program.convention, field)


_OF_PROGRAM = {one.name for one in fields(Program)}
PARTS: Mapping[str, Part] = {
    "timestep": Part(
        "timesteps",
        "what the network is told of σ: the nearest timestep, that in float32, or a fraction",
        _own("nearest", "nearest_float32", "fractional"),
    ),
    "sigmas": Part(
        "rounded",
        "what is rounded in σ of training: every product on the way (float32), ᾱ, σ alone, or all (float16)",
        _own("products", "alphas", "sigmas", "halves"),
    ),
    "formulas": Part("meant_by", "whose formula a schedule's name means", _own("a1111", "comfyui")),
    "automatic": Part("automatic", "whose schedule counts where none is asked for", _programs("automatic")),
    "noise_scale": Part(
        "scaled",
        "what the first noise is multiplied by: σ₀, √(1 + σ₀²), or that where σ₀ is the model's highest",
        _own("sigma", "variance", "whole"),
    ),
    "penultimate": Part(
        "without_penultimate",
        "whose samplers are made for one step more and leave out the last σ but one",
        _programs("without_penultimate", none=frozenset()),
    ),
    "last_sigma": Part(
        "ends", "where runs end that do not at 0", {"zero": {}, "comfyui": COMFYUI.convention.ends}
    ),
    "stride": Part(
        "strides",
        "whose samplers know every so many timesteps alone",
        {"none": {}, "a1111": A1111.convention.strides},
    ),
    "batch_seeds": Part(
        "counts_seeds",
        "whether several pictures of one seed have it and those that follow, or are a batch of one stream",
        {"counted": True, "one_stream": False},
    ),
    "fresh_noise": Part(
        "restarts",
        "whether samplers go on with the seed's stream, or begin it again",
        {"continues": False, "restarts": True},
    ),
    "tree": Part(
        "follows",
        "what SDE samplers follow: one of torchsde's trees over the batch, or one for each picture",
        {"batch": "tree", "picture": "trees"},
    ),
    "tree_steps": Part(
        "log_ends",
        "whether DPM++ SDE asks the tree from exp(log σ), or from σ itself",
        {"logarithm": True, "sigma": False},
    ),
    "order": Part(
        "options", "whether DPM++ 2M keeps its order to the end", {"kept": A1111.options, "lowered": {}}
    ),
    "img2img": Part(
        "img2img",
        "how many steps a strength of n is: diffusers' ⌊n·s⌋, the programs' own, or all, of ⌊n/s⌋",
        _programs("img2img", exact=exact, diffusers=diffusers_img2img),
    ),
    "second_pass": Part("second_pass", "likewise of a second pass", _programs("second_pass")),
    "fit": Part(
        "fits",
        "what a second pass of other proportions does: cut before or behind enlarging, or stretch",
        _own("before", "behind", "stretched", "refused"),
    ),
    "levels": Part(
        "truncates",
        "whether levels of pictures are cut to whole ones, or rounded",
        {"truncated": True, "rounded": False},
    ),
    "encoder": Part(
        "encoder", "the mean of the encoder's distribution, or a draw from it", _own("mean", "drawn")
    ),
    "transparency": Part(
        "opaque",
        "whether a picture's transparent pixels have their own colours, or are laid over white",
        {"ignored": True, "white": False},
    ),
    "sides": Part(
        "crops",
        "whether a picture that is less than a latent too large is cropped, or resized",
        {"cropped": True, "resized": False},
    ),
    "counted": Part(
        "counted",
        "whether DDIM, PLMS and UniPC count timesteps, or run along σ",
        {"timesteps": A1111.counted, "sigmas": {}},
    ),
    "read": Part(
        "predicts",
        "what LCM takes the network to predict: what it does, or noise",
        {"network": {}, "noise": A1111.predicts},
    ),
    "extrapolated": Part(
        "extrapolates",
        "what PLMS extrapolates: what the network predicts, or noise",
        {"network": None, "noise": "epsilon"},
    ),
    "options": Part(
        "runs_with", "whose options samplers have by themselves", _programs("runs_with", none={})
    ),
    "ignored": Part(
        "ignores", "whose settings of noise samplers pass over", {"none": {}, "a1111": A1111.ignores}
    ),
    "rows": Part("rows", "where a prompt longer than a row goes on in the next", _own("a1111", "comfyui")),
    "unequal": Part(
        "unequal",
        "whether prompt and negative prompt of other lengths are evaluated apart, or repeated to a common one",
        _own("apart", "repeated"),
    ),
    "lowest_guidance": Part("lowest_guidance", "the lowest scale that is taken", {"none": None, "zero": 0.0}),
    "clip_skip": Part(
        "most_clip_skip",
        "whether more layers may be skipped than a text encoder has, which gives the last",
        {"within": None, "comfyui": COMFYUI.most_clip_skip},
    ),
    "xl_clip_skip": Part(
        "xl_skip",
        "what SDXL's clip skip is: nothing, or a layer less, as the last but one is what is taken anyway",
        {"ignored": None, "less": 1, "whole": 0},
    ),
    "empty_negative": Part(
        "zeroes_empty",
        "whether SDXL's empty negative prompt is zeros, or is encoded",
        {"zeros": True, "encoded": False},
    ),
    "names": Part("calls", "whose names of samplers are meant", {"none": {}, "comfyui": COMFYUI.calls}),
}


def with_parts(program: Program, parts: Mapping[str, str]) -> Program:
    """The record with some parts as they are named."""
    for name, value in parts.items():
        part = PARTS[name]
        if part.field in _OF_PROGRAM:
            program = replace(program, **{part.field: part.values[value]})
        else:
            own: Convention = replace(program.convention, **{part.field: part.values[value]})
            program = replace(program, convention=own)
    return program


def value_in(program: Program, name: str) -> str:
    """The name of the value that a record has of a part; `OWN` where it has none."""
    value = _get(program, PARTS[name].field)
    return next((key for key, one in PARTS[name].values.items() if one == value), OWN)


def parts_of(program: Program) -> dict[str, str]:
    """The parts in which a record is another than that of its name."""
    plain = PROGRAMS[program.name]
    assert plain is not None  # no record has diffusers' name
    return {
        name: value_in(program, name)
        for name, part in PARTS.items()
        if _get(program, part.field) != _get(plain, part.field)
    }


# What a text says of a part that somebody made in Python, and that has no name.
OWN = "own"


@dataclass(frozen=True)
class PartsKind:
    """Names of parts with those of values; a `Kind`."""

    def check(self, name: str, value: Any) -> dict[str, str]:
        """A dict in the order of `PARTS`."""
        if not isinstance(value, Mapping):
            raise SettingError(
                name, expected="a mapping of parts to values, as {'timestep': 'fractional'}", got=value
            )
        for key, one in value.items():
            if key not in PARTS:
                raise SettingError(name, f"no such part, {key!r}; expected one of {', '.join(PARTS)}")
            if one not in PARTS[key].values:
                raise SettingError(
                    name, f"{key}: expected one of {', '.join(PARTS[key].values)}, got {one!r}"
                )
        return {key: value[key] for key in PARTS if key in value}

    def read(self, name: str, text: str) -> dict[str, str]:
        """PART=VALUE, with commas or spaces between several."""
        pairs = [pair.partition("=") for pair in text.replace(",", " ").split()]
        if not pairs or not all(sign for _, sign, _ in pairs):
            raise SettingError(name, expected="PART=VALUE, as timestep=fractional", got=text)
        return self.check(name, {key: value for key, _, value in pairs})

    def write(self, value: Mapping[str, str]) -> str:
        """With spaces between them."""
        return " ".join(f"{key}={one}" for key, one in value.items())


def listed() -> str:
    """Every part with its values, for help."""
    return "; ".join(f"{name}={'|'.join(part.values)}" for name, part in PARTS.items())


def table() -> list[str]:
    """The rows of docs/same-picture.md: every part, what it decides, its values, and that of each program."""
    programs = [program for program in PROGRAMS.values() if program is not None]
    lines = [
        f"| part | what it decides | values | {' | '.join(program.name for program in programs)} |",
        f"|---|---|---|{'---|' * len(programs)}",
    ]
    for name, part in PARTS.items():
        values = ", ".join(f"`{value}`" for value in part.values)
        own = " | ".join(value_in(program, name) for program in programs)
        lines.append(f"| `{name}` | {part.words} | {values} | {own} |")
    return lines
