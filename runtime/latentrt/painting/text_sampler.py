"""Which sampler and schedule a picture's text means."""

from collections.abc import Collection, Mapping
from typing import Any

from latentrt.errors import SettingError
from latentrt.painting.programs import A1111, PROGRAMS, own_name
from latentrt.pictures.writers import PictureText
from latentrt.pictures.writers.programs import LATENTRT
from latentrt.pictures.writers.writer import Writer
from latentrt.samplers import CLASS_ENTRY, SCHEDULE_ENTRY
from latentrt.samplers.automatic import AUTOMATIC, PLAIN
from latentrt.samplers.registry import FLAG_LABELS, REGISTRY, SCHEDULE_LABELS, find, normalized, schedule_of
from latentrt.schedule.comfy import EVALUATES

# Schedules by another name: stable-diffusion.cpp's, and Forge's.
_ALIASES = {"discrete": "normal", "ays": "align_your_steps", "alignyoursteps11": "align_your_steps"}
_AUTOMATIC = ("automatic", "default", "")
# ComfyUI's name of a sampler that draws its fresh noise on the GPU.
_ON_GPU = "_gpu"


def sampler_of(text: PictureText, given: Collection[str] = ()) -> dict[str, Any]:
    """`sampler` and `schedule`, None where nothing is said.

    Args:
        text: of the picture.
        given: settings that win over it, and of which it may say what is not here.

    Raises:
        SettingError: it names a sampler or a schedule that is not here, and no other is given.
    """
    said, kind = text.entries.get("Sampler"), text.entries.get("Schedule type", "")
    if text.writer is LATENTRT:
        return _ours(text.entries, said, kind)
    if said is None:
        return {"sampler": None, "schedule": None}
    try:
        return _theirs(text.writer, said, kind, given)
    except SettingError:
        if "sampler" not in given:
            raise
        return {"sampler": said, "schedule": None}


def second_sampler_of(text: PictureText, given: Collection[str] = ()) -> dict[str, Any]:
    """The same of a second pass, None where they are those of the first.

    Args:
        text: of the picture.
        given: fields of the second pass that win over it.

    Raises:
        as `sampler_of`.
    """
    said, kind = text.entries.get("Hires sampler"), text.entries.get("Hires schedule type")
    if text.writer is LATENTRT:
        return {"sampler": said, "schedule": kind}
    if (said is None and kind is None) or "Sampler" not in text.entries:
        return {"sampler": None, "schedule": None}
    first = text.entries.get("Schedule type", "")
    try:
        told = _theirs(text.writer, said or text.entries["Sampler"], first if kind is None else kind, given)
    except SettingError as error:
        raise SettingError(f"hires {error.setting}", f"second pass: {error.problem}") from None
    return {**told, "schedule": told["schedule"] or "automatic"}


def _theirs(writer: Writer, said: str, kind: str, given: Collection[str]) -> dict[str, Any]:
    """What another program means by its two entries."""
    program = PROGRAMS.get(writer.like)
    named = said.removesuffix(_ON_GPU)
    found = find(named if program is None else own_name(program, named))
    if found is None:
        raise SettingError("sampler", f"the picture's Sampler, {said!r}, is not here; say another")
    spec = REGISTRY[found.key]
    # What it calls so may be another than what is called so here, and is where a run follows it.
    plain = REGISTRY[(find(named) or found).key]
    flag = next((flag for flag in FLAG_LABELS if found.overrides.get(flag)), None)
    behind = found.sigma_schedule or (None if flag is None else schedule_of(FLAG_LABELS[flag]))
    schedule = behind
    if kind.lower() not in _AUTOMATIC:
        schedule = schedule_of(kind) or _ALIASES.get(normalized(kind))
        if schedule is None and "schedule" not in given:
            raise SettingError("schedule", f"the picture's Schedule type, {kind!r}, is not here; say another")
    elif schedule is None and kind and writer.automatic:
        schedule = AUTOMATIC.get(found.key)
    takes = spec.class_name in EVALUATES
    if found.key in A1111.counted and writer.automatic:
        schedule = None  # which the program passes over
    elif schedule is None and writer.ramps and plain.class_name in EVALUATES:
        schedule = "normal"
    if schedule is None:
        return {"sampler": plain.label, "schedule": None}
    named = f"{plain.label} {SCHEDULE_LABELS[schedule]}"
    if not writer.ramps and find(named) is not None:  # the class's own, as diffusers has it
        return {"sampler": named, "schedule": None}
    if not takes and "schedule" not in given:
        raise SettingError(
            "schedule",
            f"the picture's Schedule type, {kind or SCHEDULE_LABELS[schedule]!r}, cannot be had with {plain.label}; "
            "say another",
        )
    return {"sampler": plain.label, "schedule": schedule}


def same_sampler(one: str | None, other: str | None) -> bool:
    """Whether two names are of one sampler with one schedule."""
    if one is None or other is None:
        return one == other
    found = find(one)
    return one == other or (found is not None and found == find(other))


def draws_on_gpu(text: PictureText) -> bool:
    """Whether the sampler draws fresh noise elsewhere than the first."""
    return text.entries.get("Sampler", "").endswith(_ON_GPU)


def _ours(entries: Mapping[str, str], said: str | None, kind: str) -> dict[str, Any]:
    """A class and a sigma schedule of ours, else AUTOMATIC1111's two entries."""
    schedule, sampler = entries.get(SCHEDULE_ENTRY), entries.get(CLASS_ENTRY, said)
    if CLASS_ENTRY not in entries and schedule is None and kind not in ("", "Automatic", PLAIN):
        sampler = f"{sampler} {kind}"
    return {"sampler": None if said is None else sampler, "schedule": schedule}
