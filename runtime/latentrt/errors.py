"""Every error that latentrt raises on purpose.

A message says what was wrong, what was expected and what to do about it; the command line prints it alone,
without a traceback. Two exit codes follow: 2 for `InputError`, which is the caller's, 1 for all others.
"""

from collections.abc import Callable
from dataclasses import dataclass


class LatentrtError(Exception):
    """Base of all errors that latentrt raises on purpose."""

    exit_code = 1


class InputError(LatentrtError, ValueError):
    """A value given by the caller is out of range, unknown or of the wrong kind."""

    exit_code = 2


class SettingError(InputError):
    """A setting is unknown, out of range or of the wrong kind.

    Attributes:
        setting: its name in Python.
        expected: what would do; empty where `problem` says it in other words.
        got: what came.
        problem: the message without the name.
        others: other settings that the problem names.
    """

    def __init__(
        self,
        setting: str,
        problem: str = "",
        *,
        expected: str = "",
        got: object = None,
        others: tuple[str, ...] = (),
    ) -> None:
        self.setting, self.expected, self.got, self.others = setting, expected, got, others
        self.problem = problem or f"expected {expected}, got {got!r}"
        super().__init__(setting, self.problem)

    def __str__(self) -> str:
        return f"{self.setting}: {self.problem}"

    def told(self, name: Callable[[str], str]) -> str:
        """The message of a face that calls settings by other names, as the command line by its options."""
        problem = self.problem
        for other in self.others:
            problem = problem.replace(other, name(other))
        return f"{name(self.setting)}: {problem}"


class ModelError(LatentrtError):
    """A model folder or bundle is absent, incomplete, or of an unknown architecture."""


class WeightsError(ModelError):
    """A weight file is missing, truncated or refused, or a tensor is missing or has the wrong shape."""


class Fp16RangeError(WeightsError):
    """A tensor holds numbers that fp16 does not."""


class GraphError(ModelError):
    """An ONNX graph is missing, unreadable, or asks for what cannot be given to it."""


class ProviderError(LatentrtError):
    """An execution provider that was asked for cannot be had here, or it failed to make a session."""


@dataclass(frozen=True)
class Remedy:
    """What would take less memory.

    Attributes:
        words: in Python, as `low_memory=True`.
        option: of the command line.
        total: bytes that it is predicted to take.
        last: it is offered only where nothing before it does.
        smaller: it makes smaller pictures.
    """

    words: str
    option: str
    total: int = 0
    last: bool = False
    smaller: bool = False


class MemoryShortageError(LatentrtError):
    """What is asked takes more memory than there is; nothing was loaded for it.

    Attributes:
        component: the network that would be loaded or run at the peak.
        total: bytes that are predicted for the peak, beyond what the process has by now.
        weights: of these, those of the networks that are loaded then.
        available: bytes that there are.
        remedies: what would do, each predicted to fit.
    """

    def __init__(
        self, component: str, total: int, weights: int, available: int, remedies: tuple[Remedy, ...]
    ) -> None:
        self.component, self.total, self.weights = component, total, weights
        self.available, self.remedies = available, remedies
        super().__init__(component, total, weights, available, remedies)

    def __str__(self) -> str:
        return self._told([remedy.words for remedy in self.remedies], "force=True of latentrt.load")

    def told(self) -> str:
        """The message in the words of the command line."""
        return self._told([remedy.option for remedy in self.remedies], "--force")

    def _told(self, remedies: list[str], force: str) -> str:
        sizes = [
            f"{words} ({remedy.total / 1e9:.1f} GB)"
            for words, remedy in zip(remedies, self.remedies, strict=True)
        ]
        would_do = (
            f"what would do: {', or '.join(sizes)}" if sizes else "nothing that takes less would do either"
        )
        return (
            f"memory: this takes about {self.total / 1e9:.1f} GB at its peak, in {self.component} (weights "
            f"{self.weights / 1e9:.1f} GB), and {self.available / 1e9:.1f} GB are free here; {would_do}. "
            f"{force} tries it all the same"
        )


class TextError(LatentrtError):
    """What a picture says of how it was made is not understood, or nothing here can be made of it."""


class ImageError(LatentrtError):
    """A picture file cannot be read as one picture."""


class NumericsError(LatentrtError):
    """A component gave NaN or infinity."""
