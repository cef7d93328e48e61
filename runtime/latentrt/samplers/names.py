"""Names: those of diffusers, k-diffusion and ComfyUI, and AUTOMATIC1111."""

from collections.abc import Mapping
from typing import Any

from latentrt.errors import InputError
from latentrt.samplers.registry import BY_KEY, REGISTRY, Spec, full_label, key_of
from latentrt.samplers.sampler import Sampler
from latentrt.schedule import CLASSES, from_config


def names() -> list[str]:
    """List the canonical names."""
    return list(REGISTRY)


def resolve(name: str | None, scheduler_config: Mapping[str, Any]) -> Sampler:
    """Find a sampler by any of its names, and settle its options by the model's scheduler config.

    Args:
        name: canonical ("dpmpp_2m_karras"), of ComfyUI ("dpmpp_2m karras"), of AUTOMATIC1111 ("DPM++ 2M Karras"): these
            fix the kind of sigmas; or a diffusers class, which takes the config as it is. Case, spaces and underscores
            do not matter. None: the class that the config names.
        scheduler_config: a parsed `scheduler_config.json`, of any class.

    Raises:
        InputError: an unknown name, a class that is not built, or an option that is not supported.
    """
    if name is None:
        asked = scheduler_config.get("_class_name")
        if not isinstance(asked, str):
            raise InputError(
                f"scheduler config: expected a _class_name, got {asked!r}; or name a sampler: {_listed()}"
            )
    else:
        asked = name
    class_name = next((known for known in CLASSES if key_of(known) == key_of(asked)), None)
    if class_name is not None:
        return _of_class(class_name, scheduler_config)
    if name is None:
        raise InputError(f"sampler: the model's scheduler, {asked}, is not built; name another: {_listed()}")
    found = BY_KEY.get(key_of(name))
    if found is None:
        raise InputError(f"sampler: no such sampler, {name!r}; expected one of: {_listed()}")
    spec = REGISTRY[found]
    return Sampler(found, spec, from_config(spec.class_name, scheduler_config, **spec.overrides))


def _of_class(class_name: str, config: Mapping[str, Any]) -> Sampler:
    """Take the config as it is; of the class's rows, the name is that whose overrides agree with it best."""
    options = from_config(class_name, config)

    def disagreements(spec: Spec) -> int:
        return sum(options.get(key, value) != value for key, value in spec.overrides.items())

    rows = [(name, spec) for name, spec in REGISTRY.items() if spec.class_name == class_name]
    name, spec = min(rows, key=lambda row: disagreements(row[1]))
    return Sampler(name, spec, options)


def _listed() -> str:
    labels = (f"{name} ({full_label(spec)})" for name, spec in REGISTRY.items())
    return ", ".join(labels)
