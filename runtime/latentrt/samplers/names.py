"""Names: those of diffusers, k-diffusion and ComfyUI, and AUTOMATIC1111."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentrt.errors import InputError
from latentrt.samplers.registry import (
    FLAG_LABELS,
    REGISTRY,
    SCHEDULE_LABELS,
    Spec,
    find,
    normalized,
    schedule_of,
)
from latentrt.samplers.sampler import Sampler
from latentrt.schedule import CLASSES, from_config
from latentrt.schedule.options import ConfigError, blamed_on, shown
from latentrt.schedule.prediction import Prediction
from latentrt.schedule.sigmas import Program

# What a sampler is for networks with the preconditioning of Karras et al.
_EDM = {"euler": "edm_euler", "dpmpp_2m": "edm_dpmpp_2m"}
_PRECONDITIONED = "with the preconditioning of EDM"


def names() -> list[str]:
    """List the canonical names; a schedule may follow each."""
    return list(REGISTRY)


def resolve(
    name: str | None,
    scheduler_config: Mapping[str, Any],
    schedule: str | None = None,
    *,
    where: str | Path | None = None,
) -> Sampler:
    """Find a sampler by any of its names, and settle its options by the model's scheduler config.

    Args:
        name: canonical ("dpmpp_2m"), of ComfyUI, or of AUTOMATIC1111 ("DPM++ 2M"), with or without a schedule behind it
            ("DPM++ 2M Karras"): these fix the kind of sigmas; or a diffusers class, which takes the config as it is.
            Case, spaces and underscores do not matter. None: the class that the config names.
        scheduler_config: a parsed `scheduler_config.json`, of any class.
        schedule: one of ComfyUI's sigma schedules, by its name or AUTOMATIC1111's, in place of the class's own spacing
            and of what the name says; "automatic" or None: none.
        where: the file that the config comes from, which errors then name; None: it is the caller's.

    Raises:
        InputError: an unknown name, a class that is not built, an option that is not supported, a schedule that the
            sampler cannot take, or a sampler for networks of another family than the config's class. Of EDM's family,
            what is called Euler or DPM++ 2M is that which is made for it.
        ModelError: with `where`, an option of the config is out of range or of another kind.
    """
    sampler = _named(name, scheduler_config, where)
    if name is not None:
        sampler = _of_its_family(sampler, name, scheduler_config)
    if schedule is None or normalized(schedule) == "automatic":
        return sampler
    found = schedule_of(schedule)
    if found is None:
        raise InputError(
            f"schedule: no such schedule, {schedule!r}; expected one of: {', '.join(SCHEDULE_LABELS)}"
        )
    return sampler.with_schedule(found)


def key_of(name: str, program: Program) -> str | None:
    """What a program means by a sampler's name alone, a key of `REGISTRY`; None where we have nothing that computes it.

    ComfyUI's `deis`, `lcm` and `sa_solver` are not diffusers', which have these names here.

    Args:
        name: as the program has it; of ComfyUI the `_gpu` ones too, which differ by where noise is drawn.
        program: whose name it is.
    """
    plain = normalized(name)
    if program == "comfyui":
        plain = plain.removesuffix("gpu")
        own = {normalized(spec.k_diffusion): key for key, spec in REGISTRY.items() if spec.k_diffusion}
    else:
        own = {normalized(spec.label): key for key, spec in REGISTRY.items() if spec.webui}
        own["lcm"] = "lcm_unscaled"
    return own.get(plain)


def _named(name: str | None, config: Mapping[str, Any], where: str | Path | None) -> Sampler:
    if name is None:
        asked = config.get("_class_name")
        if not isinstance(asked, str):
            with blamed_on(where):
                raise ConfigError(
                    f"_class_name: expected a word, got {shown(asked)}; or name a sampler: {_listed()}"
                )
    else:
        asked = name
    class_name = next((known for known in CLASSES if normalized(known) == normalized(asked)), None)
    if class_name is not None:
        return _of_class(class_name, config, where)
    if name is None:
        with blamed_on(where):
            raise ConfigError(f"_class_name: {asked} is not built; name another sampler: {_listed()}")
    found = find(name)
    if found is None:
        raise InputError(
            f"sampler: no such sampler, {name!r}; expected one of: {_listed()}; with or without a schedule behind it: "
            f"{', '.join(SCHEDULE_LABELS)}"
        )
    spec = REGISTRY[found.key]
    options = from_config(spec.class_name, config, where=where, **found.overrides)
    return Sampler(found.key, spec, options, found.sigma_schedule, where)


def _of_class(class_name: str, config: Mapping[str, Any], where: str | Path | None) -> Sampler:
    """Take the config as it is; of the class's rows, the name is that whose overrides agree with it best."""
    options = from_config(class_name, config, where=where)

    def disagreements(spec: Spec) -> int:
        return sum(options.get(key, value) != value for key, value in spec.overrides.items())

    rows = [(name, spec) for name, spec in REGISTRY.items() if spec.class_name == class_name]
    name, spec = min(rows, key=lambda row: disagreements(row[1]))
    return Sampler(name, spec, options, where=where)


def _of_its_family(sampler: Sampler, name: str, config: Mapping[str, Any]) -> Sampler:
    """The sampler, or the one of that name for networks with the preconditioning of Karras et al.

    A network trained for flow matching, or with that preconditioning, speaks to its like alone: diffusers makes another
    class of such a config without a word, which feeds the network what it was never shown, and paints noise.

    Raises:
        InputError: there is none.
    """
    class_name = config.get("_class_name")
    if not isinstance(class_name, str) or class_name not in CLASSES:
        return sampler
    options = from_config(class_name, config, where=sampler.where)
    asked, trained = _family(sampler.prediction), _family(CLASSES[class_name].predicts(options))
    if asked == trained:
        return sampler
    alike = _EDM.get(sampler.key) if trained == _PRECONDITIONED and find(name) is not None else None
    if alike is not None and sampler.sigma_schedule is None:
        made = _of_class(REGISTRY[alike].class_name, config, sampler.where)
        if sampler.schedule_type.lower() in ("automatic", made.options["sigma_schedule"]):
            return made
    instead = f"; expected one of {', '.join(_EDM.values())}" if trained == _PRECONDITIONED else ""
    raise InputError(
        f"sampler: {sampler.name} is for networks trained {asked}; this model's scheduler, {class_name}, says that "
        f"it was trained {trained}{instead}"
    )


def _family(prediction: Prediction) -> str:
    if prediction.sigma_data is not None:
        return _PRECONDITIONED
    return (
        "for flow matching" if prediction.form == "flow" else "as diffusion with a variance-preserving input"
    )


def _listed() -> str:
    return ", ".join(f"{name} ({spec.label})" for name, spec in REGISTRY.items())


def table() -> list[dict[str, Any]]:
    """The rows of `latentrt samplers`: every sampler by the names of the three communities, and its schedules."""
    rows = []
    for name, spec in REGISTRY.items():
        defaults = CLASSES[spec.class_name].defaults
        flags = [flag for flag in FLAG_LABELS if flag in defaults]
        rows.append(
            {
                "name": name,
                "comfyui": spec.k_diffusion,
                "automatic1111": spec.label if spec.webui else None,
                "diffusers": spec.class_name,
                "options": dict(spec.overrides),
                "flags": flags,
                "takes_schedules": Sampler(name, spec, {}).takes_schedules,
            }
        )
    return rows
