"""Fill README.md and docs/*.md with figures from the committed runs of the benchmarks, and from nowhere else.

python tools/quote_results.py            write them
python tools/quote_results.py --check    say which differ from what the runs say; writes nothing

A region names a file in benchmarks/results and what of it is told; what stands inside is made from that file:

    <!-- bench: latent-vs-pixel-cpu.json summary -->
    <!-- /bench -->
"""

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from latentrt_bench.display import figures
from latentrt_bench.display.sheet import Cell, Sheet, as_markdown, cells, escaped, plain, without_empty
from latentrt_bench.latent_vs_pixel import tables as latent_tables
from latentrt_bench.model import tables as model_tables
from latentrt_bench.peers import tables as peer_tables
from latentrt_bench.report import Report, read_report
from latentrt_bench.tables import found, warnings

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REGION = re.compile(r"^<!-- bench:(.*?)-->\n(.*?)^<!-- /bench -->$", re.DOTALL | re.MULTILINE)
MARKER = re.compile(r"<!--\s*/?bench\b")


class QuoteError(Exception):
    """A region that cannot be filled."""


def markdown(sheets: Iterable[Sheet], has_titles: bool = True) -> str:
    """Tables below each other, each under its title."""
    tables = (without_empty(sheet) for sheet in sheets)
    return "\n\n".join((f"**{s.title}**\n\n" if has_titles else "") + as_markdown(s) for s in tables)


def summary(report: Report) -> str:
    """The shortest table of latent-vs-pixel: one line for each f, all sizes beside each other."""
    sizes = report.derived["sizes"]
    heads, lines = ["model"], [cells(model["name"]) for model in sizes[0]["models"]]
    for size in sizes:
        heads += [f"step, {latent_tables.title(size)}", "× pixels", "by MACs", "50 steps and decode"]
        steps = latent_tables.step_sheet(report, size)
        for line, model, step in zip(lines, size["models"], steps.lines, strict=True):
            line.append(step[list(steps.columns).index("step")])
            line.append(step[list(steps.columns).index("× pixels measured")])
            line.append(Cell(figures.ratio(model["mac_ratio"])))
            mark = "predicted" if model["is_predicted"] else ""
            line.append(Cell(figures.ratio(model["pictures"]["50"]["ratio"]), mark))
    return markdown([Sheet("", heads, lines)], has_titles=False)


def steps(report: Report) -> str:
    """What a step, a decode and an encode take, a table for each size."""
    return markdown(latent_tables.step_sheet(report, size) for size in report.derived["sizes"])


def pictures(report: Report) -> str:
    """Speed-ups of whole pictures and break-even, a table for each size."""
    return markdown(latent_tables.picture_sheet(report, size) for size in report.derived["sizes"])


def rest(report: Report) -> str:
    """The tables of latent-vs-pixel that belong to no size: predictions, and quality."""
    made = {sheet.title for size in report.derived["sizes"] for sheet in _of_size(report, size)}
    return markdown(sheet for sheet in latent_tables.sheets(report) if sheet.title not in made)


def _of_size(report: Report, size: dict[str, object]) -> list[Sheet]:
    return [latent_tables.step_sheet(report, size), latent_tables.picture_sheet(report, size)]


def stages(report: Report) -> str:
    """A model's stages, a table for each configuration."""
    return markdown(model_tables.stage_sheet(report, row) for row in report.rows)


def loading(report: Report) -> str:
    """What loading each network takes, a table for each provider and type."""
    return markdown(sheet for sheet in model_tables.sheets(report) if sheet.title.startswith("Loading"))


def paintings(report: Report) -> str:
    """Whole pictures of a model, by configuration and sampler."""
    return markdown([model_tables.picture_sheet(report)], has_titles=False)


def limits(report: Report) -> str:
    """The machine's own limits."""
    return markdown([model_tables.ceiling_sheet(report.ceilings or {})], has_titles=False)


def peers(report: Report) -> str:
    """Peers beside each other."""
    return markdown([peer_tables.peer_sheet(report)], has_titles=False)


def environments(report: Report) -> str:
    """What each peer was made of, and how far its picture is from the first one's."""
    return markdown([peer_tables.environment_sheet(report)], has_titles=False)


def sentences(report: Report) -> str:
    """What was found, as a list."""
    return "\n".join(f"- {escaped(sentence)}" for sentence in found(report))


def machine(report: Report) -> str:
    """Where, when and how it was measured, and what to know before believing it: one paragraph."""
    about = report.machine
    made_of = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    gpus = ", ".join(gpu["name"] for gpu in about.get("gpus", ()))
    words = (
        f"{about['processor']}, {about['logical_cores']} {'virtual ' if about.get('virtual') else ''}cores, "
        f"{figures.size(about['memory_bytes'])} of memory{f', {gpus}' if gpus else ''}; {made_of}; "
        f"{report.started[:10]}, {figures.seconds(report.seconds)}: `{shlex.join(report.command)}`."
    )
    return " ".join([plain(words), *map(escaped, warnings(report))])


# What can be told, and of which benchmark; None: of any.
QUOTES: dict[str, tuple[str | None, Callable[[Report], str]]] = {
    "summary": ("latent-vs-pixel", summary),
    "steps": ("latent-vs-pixel", steps),
    "pictures": ("latent-vs-pixel", pictures),
    "rest": ("latent-vs-pixel", rest),
    "stages": ("model", stages),
    "loading": ("model", loading),
    "paintings": ("model", paintings),
    "limits": (None, limits),
    "peers": ("peers", peers),
    "environments": ("peers", environments),
    "found": (None, sentences),
    "machine": (None, machine),
}


def fill(text: str, results: Path) -> str:
    """The page's text with every region made anew.

    Raises:
        QuoteError: a region is not closed, or names what there is not.
        InputError: its file is missing or no report.
    """
    filled = REGION.sub(lambda match: _filled(match.group(1), results), text)
    if len(MARKER.findall(text)) != 2 * len(REGION.findall(text)):
        raise QuoteError("a region is not closed, or its markers are not alone on their lines")
    return filled


def _filled(words: str, results: Path) -> str:
    name, _, what = words.strip().partition(" ")
    if what not in QUOTES:
        raise QuoteError(f"bench: {words.strip()}: expected a file and one of {', '.join(QUOTES)}")
    benchmark, quote = QUOTES[what]
    report = read_report(results / name)
    if benchmark not in (None, report.benchmark):
        raise QuoteError(f"{name}: {what} is told of {benchmark}, and this is a run of {report.benchmark}")
    return f"<!-- bench: {name} {what} -->\n{quote(report)}\n<!-- /bench -->"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page differs")
    args = parser.parse_args()
    stale = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        filled = fill(text, RESULTS)
        if filled != text:
            stale.append(page)
            if not args.check:
                page.write_text(filled, encoding="utf-8")
    for page in stale:
        print(f"{page}: {'differs from the runs' if args.check else 'written'}", file=sys.stderr)
    return 1 if args.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
