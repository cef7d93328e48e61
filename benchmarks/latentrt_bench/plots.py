"""A report as plots, each a piece of SVG."""

from collections.abc import Callable, Iterator

from latentrt_bench.display.canvas import Plot, style
from latentrt_bench.latent_vs_pixel import plots as latent_plots
from latentrt_bench.model import plots as model_plots
from latentrt_bench.peers import plots as peer_plots
from latentrt_bench.report import Report

PLOTS: dict[str, Callable[[Report], Iterator[Plot]]] = {
    "latent-vs-pixel": latent_plots.plots,
    "model": model_plots.plots,
    "peers": peer_plots.plots,
}


def plots(report: Report) -> list[Plot]:
    """The plots of a report, those left out for which nothing was measured. The same report gives the same bytes."""
    with style():
        return list(PLOTS[report.benchmark](report))
