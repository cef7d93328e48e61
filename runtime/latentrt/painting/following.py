"""How a run follows a program: what it may ask of it, and what it is told where it asks for something else."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from latentrt.errors import SettingError
from latentrt.painting.masking import DIFFUSERS_MASKS, Masking
from latentrt.painting.programs import PROGRAMS, Program, own_name
from latentrt.painting.upscale import UPSCALERS, find_upscaler
from latentrt.samplers.registry import REGISTRY

# Settings that do nothing where a run follows no program.
WITH_PROGRAM = ("zero_snr", "sgm_noise_multiplier", "downcast_alphas")
# And those of them that samplers which count timesteps have none of.
NOT_COUNTED = ("sgm_noise_multiplier", "downcast_alphas")
# What makes prompts of unequal length equal.
PADS = ("pad_prompts", "pad_prompts_v0")


def settled(like: str | Program, settings: Mapping[str, Any]) -> Program | None:
    """The program that a run follows; None for diffusers.

    Args:
        like: a key of `PROGRAMS`, or a record.
        settings: all of the run.

    Raises:
        SettingError: something is asked for that is not computed as there.
    """
    program = PROGRAMS[like] if isinstance(like, str) else like
    for key in PADS:
        if settings[key] and not pads(program):
            raise SettingError(key, "is AUTOMATIC1111's; expected None, or like a1111", others=("like",))
    if program is None:
        for key in WITH_PROGRAM:
            if settings.get(key):
                raise SettingError(
                    key, "does nothing with diffusers' way; expected another like", others=("like",)
                )
        return None
    if program.name not in PROGRAMS:
        names = ", ".join(name for name, one in PROGRAMS.items() if one is not None)
        raise SettingError("like", f"expected a record with one of the names {names}, got {program.name!r}")
    for key in ("timesteps", "sigmas"):
        if settings.get(key) is not None:
            refuse(program, key)
    return program


def pads(program: Program | None) -> bool:
    """Whether `PADS` count: that one has prompts of unequal length, and does nothing about it by itself."""
    return program is not None and program.unequal == "apart"


def turned(program: Program, settings: Mapping[str, Any]) -> Program:
    """The record as AUTOMATIC1111's settings of it have it.

    Raises:
        SettingError: two do not go together.
    """
    convention = program.convention
    if settings.get("sgm_noise_multiplier"):
        convention = replace(convention, scaled="variance")
    if settings.get("downcast_alphas"):
        if settings.get("zero_snr"):
            raise SettingError(
                "downcast_alphas", "float16 has no such levels; expected no zero_snr", others=("zero_snr",)
            )
        convention = replace(convention, rounded="halves")
    return replace(program, convention=convention)


def refuse(program: Program | None, name: str) -> None:
    """Refuse what no program's way is known for; it is a refiner, or steps given number by number.

    Raises:
        SettingError: the run follows a program.
    """
    if program is not None:
        raise SettingError(
            "like",
            f"{name} is not computed as {program.name} does; expected diffusers, or none",
            others=(name,),
        )


def masking_of(like: str | Program) -> Masking:
    """How a program, itself or a key of `PROGRAMS`, paints under a mask."""
    program = PROGRAMS[like] if isinstance(like, str) else like
    return DIFFUSERS_MASKS if program is None else program.masking


def reads_opaque(like: Any) -> bool:
    """Whether a picture's transparent pixels have their own colours; else they are laid over white.

    Args:
        like: whose way is asked for, not checked yet.
    """
    program = PROGRAMS.get(like) if isinstance(like, str) else like
    return isinstance(program, Program) and program.opaque


def label_in(program: Program | None, key: str, label: str) -> str:
    """AUTOMATIC1111's name of a sampler, or the one by which the program has it: its LCM is another than diffusers'."""
    labels = [label, *(spec.label for spec in REGISTRY.values())]
    return next((one for one in labels if program is None or own_name(program, one) == key), label)


def has_upscaler(program: Program, name: str) -> bool:
    """Whether an upscaler of a second pass is computed as in the program."""
    return find_upscaler(name) in [UPSCALERS[key] for key in program.upscalers]


def check_sampler(program: Program, key: str) -> None:
    """Refuse a sampler that is not computed as in the program.

    Raises:
        SettingError: it is one.
    """
    if key not in program.samplers:
        names = ", ".join(key for key in REGISTRY if key in program.samplers)
        raise SettingError(
            "sampler", f"{key} is not computed as {program.name} does; expected one of {names}"
        )
