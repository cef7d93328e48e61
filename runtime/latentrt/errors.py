"""Every error that latentrt raises on purpose.

A message says what was wrong, what was expected and what to do about it; the command line prints it alone,
without a traceback. Two exit codes follow: 2 for `InputError`, which is the caller's, 1 for all others.
"""


class LatentrtError(Exception):
    """Base of all errors that latentrt raises on purpose."""

    exit_code = 1


class InputError(LatentrtError, ValueError):
    """A value given by the caller is out of range, unknown or of the wrong kind."""

    exit_code = 2


class ModelError(LatentrtError):
    """A model folder or bundle is absent, incomplete, or of an unknown architecture."""


class WeightsError(ModelError):
    """A weight file is missing, truncated or refused, or a tensor is missing or has the wrong shape."""


class GraphError(ModelError):
    """An ONNX graph is missing, unreadable, or asks for what cannot be given to it."""


class ProviderError(LatentrtError):
    """An execution provider that was asked for cannot be had here, or it failed to make a session."""


class ImageError(LatentrtError):
    """A picture file cannot be read as one picture."""


class NumericsError(LatentrtError):
    """A component gave NaN or infinity."""
