"""What a run saves, and with that changes: a recipe of savings, each usable alone; docs/speed.md has their prices."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from latentrt.errors import SettingError
from latentrt.painting.kinds import Choice, Interval, Kind, Number
from latentrt.painting.setting import Setting, declared, documented
from latentrt.pictures.metadata import number_text

# Names for recipes, gentlest first.
LEVELS: Mapping[str, Mapping[str, Any]] = {
    "light": {"cache": 1.6},
    "balanced": {"cache": 2.2},
    "strong": {"cache": 3.0},
    "extreme": {"cache": 4.0},
}
OFF = "off"
_EXPECTED = f"{OFF}, one of {', '.join(LEVELS)}, or a recipe as cache=2.5,guidance=0-0.9"


class Between:
    """Two shares of a run, as `Interval`; its text holds no comma and no space."""

    def check(self, name: str, value: Any) -> tuple[float, float]:
        """Two floats in [0, 1]."""
        return Interval().check(name, value)

    def read(self, name: str, text: str) -> tuple[float, float]:
        """With a - between them."""
        return Interval().read(name, text.replace("-", " "))

    def write(self, value: tuple[float, float]) -> str:
        """With a - between them."""
        return "-".join(map(number_text, value))


def _declared(default: Any, kind: Kind, words: str) -> Any:
    return field(default=default, metadata={"setting": Setting(kind, words)})


@dataclass(frozen=True)
class Fast:
    """A recipe of savings."""

    cache: float = _declared(
        1.0,
        Number(1, 100),
        "ask the network in one of so many steps, 1 or more, and extrapolate in the others what it would say, with "
        "samplers that ask once a step.",
    )
    guidance: tuple[float, float] | None = _declared(
        None,
        Between(),
        "(start, end), shares of the steps: guide in the steps between them alone, as `guidance_interval`, which costs "
        "half in the others. None: as that says.",
    )

    decoder: str = _declared(
        "vae",
        Choice(("vae", "taesd"), spaced=True),
        '"taesd" decodes the pictures by the TAESD of `latentrt.load`, or the model\'s own folder `taesd`, in place of '
        "the autoencoder.",
    )

    def __post_init__(self) -> None:
        for name, part in declared(Fast).items():
            value = getattr(self, name)
            if value != part.default:
                with _of_part(name):
                    object.__setattr__(self, name, part.kind.check(name, value))

    def __str__(self) -> str:
        """The recipe as text: the parts that are not as without; `off` where there is none."""
        told = [
            f"{name}={part.kind.write(getattr(self, name))}"
            for name, part in declared(Fast).items()
            if getattr(self, name) != part.default
        ]
        return ",".join(told) or OFF


Fast.__doc__ = documented(
    Fast,
    "A recipe of savings, each usable alone. Without any the picture is exact; with each it is another, by how much "
    "docs/speed.md tells.",
)


class FastKind:
    """A `Fast`, or what says one: the name of a level, or a recipe; a `Kind`."""

    def check(self, name: str, value: Any) -> Fast:
        """A `Fast`."""
        if isinstance(value, Fast):
            return value
        if not isinstance(value, str):
            raise SettingError(name, expected=f"a latentrt.Fast, or {_EXPECTED}", got=value)
        return self.read(name, value)

    def read(self, name: str, text: str) -> Fast:
        """A level, `off`, or PART=VALUE with commas or spaces between several."""
        word = text.strip().lower()
        if word == OFF:
            return Fast()
        if word in LEVELS:
            return Fast(**LEVELS[word])
        pairs = [pair.partition("=") for pair in word.replace(",", " ").split()]
        parts, names = declared(Fast), [part for part, _, _ in pairs]
        if (
            not pairs
            or len(set(names)) < len(names)
            or not all(sign and part in parts for part, sign, _ in pairs)
        ):
            raise SettingError(name, expected=_EXPECTED, got=text)
        values = {}
        for part, _, value in pairs:
            with _of_part(part):
                values[part] = parts[part].kind.read(part, value)
        return Fast(**values)

    def write(self, value: Fast | str) -> str:
        """The recipe, never the name of a level, which may come to mean another."""
        return str(value)


def guided_in(fast: Fast, interval: tuple[float, float]) -> tuple[float, float]:
    """The shares of a run between which it is guided: what the recipe says, or else `guidance_interval`.

    Raises:
        SettingError: both say something.
    """
    if fast.guidance is None:
        return interval
    if interval != (0, 1):
        raise SettingError(
            "fast",
            "guidance: does not go beside guidance_interval; expected one of both",
            others=("guidance_interval",),
        )
    return fast.guidance


def levels() -> str:
    """Every level with its recipe, for help."""
    return ", ".join(f"{name} ({Fast(**parts)})" for name, parts in LEVELS.items())


@contextmanager
def _of_part(name: str) -> Iterator[None]:
    """Make what is wrong with a part a SettingError of the recipe."""
    try:
        yield
    except SettingError as error:
        raise SettingError("fast", f"{name}: {error.problem}") from None
