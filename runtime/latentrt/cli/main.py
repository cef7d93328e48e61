"""The entry: choose the command, run it, and turn every failure into one line and an exit code."""

import argparse
import errno
import importlib
import sys
from collections.abc import Sequence

from latentrt._version import __version__
from latentrt.cli import console, optional
from latentrt.cli.parser import Parser
from latentrt.errors import LatentrtError
from latentrt.models import voice

COMMANDS = {
    "generate": "paint pictures from a prompt",
    "img2img": "paint over a picture",
    "inpaint": "paint a part of a picture anew",
    "upscale": "enlarge a picture by a model that was made for it",
    "sweep": "paint a grid of pictures over samplers, steps, guidance scales, …",
    "compare": "paint one picture exact and by a fast recipe, and show both",
    "encode": "turn a picture into latents",
    "decode": "turn latents into a picture",
    "samplers": "list the samplers by all their names",
    "info": "tell what a model is made of, or what a picture says of itself",
    "doctor": "tell what can run here, what is missing, and what would be faster",
    "cache": "list, prune and clear prepared weights, from which large networks load at once",
    "verify": "check a bundle: hashes, and stored outputs of every network",
    **optional.COMMANDS,
}
EXAMPLES = """\
examples:
  latentrt generate "a large red heart on a blue background" --out heart.png
  latentrt img2img "a watercolour of a house" --image photo.jpg --strength 0.6 --model path/to/checkpoint
  latentrt doctor

exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (143 by SIGTERM, 129 by SIGHUP)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 failed, 2 wrong usage, 128 and a signal's number."""
    with console.warnings_as_lines(), console.ends_at_signals(last=argv is None) as ending:
        try:
            console.take_any_path()
            code = _run(argv)
            if sys.stdout is not None:
                sys.stdout.flush()
        except SystemExit as stop:  # argparse's, after --help or a usage error
            return stop.code if isinstance(stop.code, int) else 1
        except KeyboardInterrupt:
            return ending.done()
        except LatentrtError as error:
            from latentrt.cli.options import in_options

            return console.fail(in_options(error), error.exit_code)
        except BrokenPipeError:
            console.drop_stdout()  # who read the output has gone, as `head` does
            return 1
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "onnxruntime":
                raise
            return console.fail(
                "onnxruntime is not installed; this needs: pip install 'latentrt[cpu]' (or cuda, openvino)"
            )
        except ImportError as error:  # what Ctrl-C becomes while a native module is loaded
            if not isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
                raise
            return ending.done()
        except OSError as error:
            console.drop_stdout()
            return console.fail(_describe(error))
        except MemoryError:
            return console.fail("out of memory; try a smaller --size, --batch-size 1 or --low-memory")
    return code


def _run(argv: Sequence[str] | None) -> int:
    args = _parser().parse_args(argv)
    with voice.quiet(getattr(args, "quiet", False)):
        code: int = args.run(args)
    return code


def _parser() -> Parser:
    parser = Parser(
        prog="latentrt",
        description="Latent diffusion models on ONNX Runtime, without torch.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"latentrt {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        command.fill = lambda parser, name=name: _fill(parser, name)
    return parser


def _fill(parser: argparse.ArgumentParser, name: str) -> None:
    if name in optional.COMMANDS:
        optional.fill(parser, name)
        return
    module = importlib.import_module(f"latentrt.cli.{name}")
    parser.epilog = module.EXAMPLES
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)


def _describe(error: OSError) -> str:
    if error.filename is None:
        return str(error)
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return f"{error.filename}: the disk is full"
    return f"{error.filename}: {error.strerror or error}"
