"""Options made of declared settings, and settings made of options."""

import argparse
from collections.abc import Callable, Collection
from typing import Any, TypeAlias

from latentrt.errors import LatentrtError, MemoryShortageError, SettingError
from latentrt.painting.kinds import Choice, Flag, Kind
from latentrt.painting.picture_settings import RUNS
from latentrt.painting.second_pass import Hires
from latentrt.painting.setting import Option, Setting, declared, shown

Group: TypeAlias = argparse._ActionsContainer  # a parser is one, too


def add_options(parser: Group, of: type, without: Collection[str] = ()) -> dict[str, Group]:
    """Add the options of a TypedDict's or dataclass's settings; gives the groups that were made, by title."""
    groups: dict[str, Group] = {}
    for name, setting in shown(of).items():
        option = setting.option
        if option is None or name in without:
            continue
        if option.group and option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        target = groups.get(option.group, parser)
        options: dict[str, Any] = {"help": _help(setting, option)}
        if isinstance(setting.kind, Flag):
            options |= {"action": "store_false" if setting.default else "store_true", "default": None}
        elif isinstance(setting.kind, Choice):
            options |= {"choices": setting.kind.names}
        else:
            options |= {"type": reading(setting.kind), "metavar": option.metavar}
        if option.repeats:
            options |= {"action": "append"}
        target.add_argument(option.name, **options)
    return groups


def given(args: argparse.Namespace, of: type) -> dict[str, Any]:
    """The settings whose options were given."""
    settings: dict[str, Any] = {}
    for name, setting in shown(of).items():
        value = None if setting.option is None else getattr(args, _attribute(setting.option), None)
        if value is not None and setting.option is not None and setting.option.repeats:
            value = {key: one for part in value for key, one in part.items()}
        if value is not None:
            settings |= apart(name, value, of)
    return settings


def apart(name: str, value: Any, of: type) -> dict[str, Any]:
    """The value of a setting as faces show it under the names that Python has."""
    parts = [part for part, setting in declared(of).items() if setting.joined and setting.joined[0] == name]
    return dict(zip(parts, value, strict=True)) if parts else {name: value}


def reading(kind: Kind) -> Callable[[str], Any]:
    """A kind as the `type` of an argument."""

    def read(text: str) -> Any:
        try:
            return kind.read("", text)
        except SettingError as error:
            told = f"expected {error.expected}, got {text!r}" if error.expected else error.problem
            raise argparse.ArgumentTypeError(told) from None

    return read


def in_options(error: LatentrtError) -> str:
    """An error of the library in the words of the command line."""
    if isinstance(error, MemoryShortageError):
        return error.told()
    return error.told(option_of) if isinstance(error, SettingError) else str(error)


def option_of(name: str) -> str:
    """The option that sets a setting, or the name itself where there is none."""
    if name == "padding_mask_crop":  # has two; this one asks for it
        return "--only-masked"
    if name == "taesd of latentrt.load":
        return "--taesd"
    if name == "depth":  # a picture, and no setting
        return "--depth"
    if name in ("hires", "hires scale", "hires size"):
        return "--hires"
    settings: dict[str, Setting] = {f"hires {field}": setting for field, setting in declared(Hires).items()}
    for of in RUNS.values():
        settings |= declared(of)
    setting = settings.get(name)
    if setting is not None and setting.joined is not None:
        setting = setting.joined[1]
    return name if setting is None or setting.option is None else setting.option.name


def _help(setting: Setting, option: Option) -> str:
    text, default = option.help or setting.help, setting.default
    if "(default" not in text and default not in (None, "") and not isinstance(default, bool):
        text = f"{text} (default: {default if isinstance(default, str) else setting.kind.write(default)})"
    return text.replace("%", "%%")


def _attribute(option: Option) -> str:
    return option.name.removeprefix("--").replace("-", "_")
