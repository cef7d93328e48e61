"""Every error that latentrt raises on purpose.

A message says what was wrong, what was expected and what to do about it; the command line prints it alone,
without a traceback. Two exit codes follow: 2 for `InputError`, which is the caller's, 1 for all others.
"""

from collections.abc import Callable


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


class ImageError(LatentrtError):
    """A picture file cannot be read as one picture."""


class NumericsError(LatentrtError):
    """A component gave NaN or infinity."""
