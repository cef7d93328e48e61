"""The commands that live outside of the runtime: the one door to `latentrt_export` and `latentrt_bench`."""

import argparse
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

from latentrt.errors import LatentrtError

COMMANDS = {
    "export": "make a standalone bundle of a model, checked against torch",
    "train-demo": "train the included demo model again",
    "bench": "measure this machine: latent space against pixels, a model, its peers",
}
# Where each one is: it gives `add_arguments(parser)` and `run(args) -> int`.
_MODULES = {
    "export": "latentrt_export.cli",
    "train-demo": "latentrt_export.demo.train",
    "bench": "latentrt_bench.cli",
}
_EXTRAS = {"export": "export", "train-demo": "export", "bench": "bench"}
_EXAMPLES = {
    "export": """\
examples:
  latentrt export path/to/checkpoint path/to/bundle
  latentrt verify path/to/bundle
  latentrt generate "a lighthouse at dusk" --model path/to/bundle
""",
    "train-demo": """\
examples:
  latentrt train-demo
  latentrt train-demo --run runs/demo --out demo-model --seed 1
""",
    "bench": """\
examples:
  latentrt bench latent-vs-pixel --quick
  latentrt bench model path/to/checkpoint --report
  latentrt bench peers --model demo
  latentrt bench render latent-vs-pixel-20261123-120000.json
""",
}


class MissingExtraError(LatentrtError):
    """A command's packages are not installed."""


def fill(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of a command of `COMMANDS`, and what runs it.

    Raises:
        MissingExtraError: its packages are not installed; says how to get them.
    """
    with explained(name):
        module = _module(name)
        add_arguments: Callable[[argparse.ArgumentParser], None] = module.add_arguments
        add_arguments(parser)
    if parser.epilog is None:
        parser.epilog = _EXAMPLES[name]
    parser.set_defaults(run=lambda args: _run(name, args))


def _run(name: str, args: argparse.Namespace) -> int:
    with explained(name):
        code: int = _module(name).run(args)
    return code


def _module(name: str) -> ModuleType:
    return importlib.import_module(_MODULES[name])


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Say which extra a command of `COMMANDS` needs, where a package of it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if importlib.util.find_spec(missing) is not None:
            raise  # a mistake of ours, not a missing package
        message = (
            f"{name}: {missing} is not installed; this command needs: pip install 'latentrt[{_EXTRAS[name]}]'"
        )
        raise MissingExtraError(message) from None
