"""`latentrt bench`: one of five commands."""

import argparse
import importlib

from latentrt.cli.optional import explained
from latentrt.cli.parser import Parser

COMMANDS = {
    "latent-vs-pixel": "measure here what denoising costs in latent space and on pixels",
    "model": "measure where a model spends its time, and how near to this machine's limits it comes",
    "peers": "measure latentrt beside other runtimes, each in an environment of its own",
    "compare": "put two runs side by side, and tell which differences are more than noise",
    "render": "make the page of a report again",
}
# Where each is: it gives `EXAMPLES`, `add_arguments(parser)` and `run(args) -> int`.
_MODULES = {
    "latent-vs-pixel": "latentrt_bench.latent_vs_pixel.command",
    "model": "latentrt_bench.model.command",
    "peers": "latentrt_bench.peers.command",
    "compare": "latentrt_bench.compare",
    "render": "latentrt_bench.render",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands; each adds its own arguments when it is called for."""
    commands = parser.add_subparsers(
        title="benchmarks", metavar="BENCHMARK", required=True, parser_class=Parser
    )
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        command.fill = lambda command, name=name: _fill(command, name)


def run(args: argparse.Namespace) -> int:
    """Run the benchmark that was chosen."""
    code: int = args.benchmark(args)
    return code


def _fill(parser: argparse.ArgumentParser, name: str) -> None:
    with explained("bench"):
        module = importlib.import_module(_MODULES[name])
    parser.epilog = module.EXAMPLES
    module.add_arguments(parser)
    parser.set_defaults(benchmark=module.run)
