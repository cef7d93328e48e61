"""What a declaration of a setting says, and what every face makes of it.

A setting is stated once, in `settings`, `picture_settings` or `second_pass`. From there come the check in Python, the
option of the command line, the entry of a picture's text, the key of `--json`, the axis of a sweep, what `recall`
brings back, and the documentation.
"""

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any, get_type_hints

from latentrt.painting.kinds import Kind


@dataclass(frozen=True)
class Option:
    """How the command line takes it.

    Attributes:
        name: as "--steps".
        metavar: of its value.
        help: in place of the setting's own.
        group: under which title it stands; empty for the first.
        repeats: it may be given several times; what they hold is put together, and the last counts.
    """

    name: str
    metavar: str | None = None
    help: str = ""
    group: str = ""
    repeats: bool = False


@dataclass(frozen=True)
class Entry:
    """What a picture's text says of it, and `--json`.

    Attributes:
        key: in the text.
        name: in `--json`; empty for the setting's own.
        kind: how the text has it; None for the setting's own.
        part: what of the value is told here; None where nothing is.
        first: what the text counts from; the setting counts from 0.
        always: told even where it is the default.
        ours: believed in texts by latentrt alone, as others may mean something else by it.
    """

    key: str
    name: str = ""
    kind: Kind | None = None
    part: Callable[[Any], Any] | None = None
    first: int = 0
    always: bool = False
    ours: bool = True


@dataclass(frozen=True)
class Setting:
    """A setting.

    Attributes:
        kind: what its value may be.
        help: a sentence for those who write Python.
        default: what None stands for; None where that is found out in the run.
        option: how the command line takes it; None: it does not, or by hand.
        entries: of a picture's text; where several are read back, the last is believed.
        axis: its label as an axis of a sweep; empty: it is none.
        joined: what faces show in its place: the name and the declaration of one setting that is this and another.
    """

    kind: Kind
    help: str
    default: Any = None
    option: Option | None = None
    entries: tuple[Entry, ...] = ()
    axis: str = ""
    joined: "tuple[str, Setting] | None" = field(default=None, repr=False)


@cache
def declared(of: type) -> dict[str, Setting]:
    """The declarations of a TypedDict, inherited ones first, or of a dataclass, whose fields have the defaults."""
    if is_dataclass(of):
        return {one.name: replace(one.metadata["setting"], default=one.default) for one in fields(of)}
    hints = get_type_hints(of, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


def shown(of: type) -> dict[str, Setting]:
    """The same as faces show them, joined ones under their common name."""
    pairs = (
        (name, setting) if setting.joined is None else setting.joined
        for name, setting in declared(of).items()
    )
    return dict(pairs)


def checked(of: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting: checked where it is given and not None, else its default.

    Raises:
        SettingError: a value is out of range or of the wrong kind.
    """
    return {
        name: setting.default if given.get(name) is None else setting.kind.check(name, given[name])
        for name, setting in declared(of).items()
    }


def record(of: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of a run: for each entry its name in `--json` and its value, None where there is nothing to tell."""
    told: dict[str, Any] = {}
    for name, setting in declared(of).items():
        if setting.joined is not None:
            told[name] = values.get(name)
        for entry in setting.entries:
            value = values.get(name)
            if value is not None and (entry.always or value != setting.default):
                value = value if entry.part is None else entry.part(value)
            else:
                value = None
            told[entry.name or name] = value
    return told


def entries(of: type, told: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """What `record` gave as entries of a picture's text: each one's value, counted as there, and its text."""
    made = {}
    for name, setting in declared(of).items():
        for entry in setting.entries:
            if (value := told.get(entry.name or name)) is not None:
                value = value + entry.first if entry.first else value
                made[entry.key] = value, (entry.kind or setting.kind).write(value)
    return made


def documented(of: type, summary: str) -> str:
    """A docstring that lists the settings."""
    lines = []
    for name, setting in declared(of).items():
        default = "" if setting.default is None else f" Default: {setting.default!r}."
        line = f"    {name}: {setting.help}{default}"
        lines.append(textwrap.fill(line, 110, subsequent_indent=" " * 8, break_on_hyphens=False))
    return "\n".join([summary, "", "Attributes:", *lines])
