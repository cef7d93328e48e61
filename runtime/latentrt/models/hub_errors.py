"""Errors of huggingface_hub as ours: what is wrong with a name of the hub, and what to set."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from latentrt.errors import ModelError
from latentrt.models.hub_names import HubName


@contextmanager
def explained(named: HubName) -> Iterator[None]:
    """Around calls of huggingface_hub.

    Raises:
        ModelError: in place of its errors, and of those of the client that it uses.
        OSError: of the disk, which says itself what is wrong.
    """
    from huggingface_hub import constants

    try:
        yield
    except Exception as error:  # the client's are of many kinds
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))
        if full:
            raise ModelError(
                f"{named.repo}: the disk is full: {constants.HF_HUB_CACHE}; make room, or set HF_HOME to another disk"
            ) from error
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise ModelError(f"{named.shown}: {_said(named, error)}") from error


def _said(named: HubName, error: Exception) -> str:
    from huggingface_hub import constants, errors

    endpoint, cache = constants.ENDPOINT, constants.HF_HUB_CACHE
    status = getattr(getattr(error, "response", None), "status_code", None)
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    if isinstance(error, errors.OfflineModeIsEnabled) or constants.HF_HUB_OFFLINE:
        return (
            f"no such folder, and not (whole) in the hub's cache, {cache}. HF_HUB_OFFLINE is set, so nothing is "
            "downloaded: unset it, or set HF_HOME to where the model is"
        )
    if isinstance(error, errors.GatedRepoError):
        return (
            f"is gated ({status}): accept its terms at {endpoint}/{named.repo}, and give your token by HF_TOKEN or "
            "`hf auth login`"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"has no revision {named.revision or 'main'} ({status}); {endpoint}/{named.repo} lists them"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"no such folder, and no such model at {endpoint} ({status}). If it is a private one, give your token "
            "by HF_TOKEN or `hf auth login`"
        )
    if isinstance(error, errors.HFValidationError):
        return f"no such folder, and no name that a model of the hub can have: {reason}"
    if status is not None:
        return f"{endpoint} refuses it ({status}): {reason}. If it wants a login, check HF_TOKEN"
    return (
        f"no such folder, not (whole) in the hub's cache, {cache}, and not to be had from {endpoint}: {reason}. "
        "Check the network, set HF_ENDPOINT to a mirror, or HF_HOME to a cache that has it"
    )
