"""What all plots are drawn on: small figures that a phone shows legibly, given out as SVG with text as text."""

import contextlib
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from latentrt_bench.display.sheet import plain

# Okabe and Ito's colours, told apart by every kind of colour blindness; yellow is left out, too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, FAINT, GRID = "#1f2933", "#616e7c", "#e4e7eb"
# One unit of the drawing is about one CSS pixel on a phone of 375, where 11 are the least that reads well.
WIDTH, FONT = 375, 11.5
RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "latentrt",
    "svg.id": None,
    "font.family": "DejaVu Sans",  # wider than what browsers put in its place, so that nothing is cut off
    "font.size": FONT,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "text.parse_math": False,  # names come from files: a dollar is a dollar
    "legend.frameon": False,
    "hatch.linewidth": 0.8,
}
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


@dataclass(frozen=True)
class Plot:
    """A drawing: its name (of ASCII letters, digits and hyphens), its title, how to read it, and the SVG."""

    name: str
    title: str
    caption: str
    svg: str


class Canvas:
    """One set of axes and the figure around it. Use it inside of `style()`."""

    def __init__(self, height: float = 290) -> None:
        self.figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        self.axes: Axes = self.figure.add_subplot()

    def plot(self, name: str, title: str, caption: str) -> Plot:
        """The finished drawing."""
        out = io.BytesIO()
        FigureCanvasSVG(self.figure).print_svg(out, metadata={"Date": None})  # type: ignore[no-untyped-call]
        return Plot(name, title, caption, tidy(out.getvalue(), name, f"{title}. {caption}"))


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Drawing inside of this context looks alike, whatever the user's matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcParams.update(mpl.rcParamsDefault)
        mpl.rcParams.update(RC)
        yield


def tidy(svg: bytes, name: str, label: str) -> str:
    """The SVG element alone, fit to stand in a page with others: scalable, labelled, its ids its own.

    Args:
        svg: what matplotlib wrote.
        name: goes before every id.
        label: what a screen reader says of it.
    """
    root = ET.fromstring(svg)
    for metadata in root.findall(f"{{{SVG}}}metadata"):
        root.remove(metadata)
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{SVG}}}")
        for key, value in list(element.attrib.items()):
            if key == "id":
                value = f"{name}-{value}"
            elif key == f"{{{XLINK}}}href" and value.startswith("#"):
                del element.attrib[key]
                key, value = "href", f"#{name}-{value[1:]}"
            value = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", value)
            if key == "style":
                value = re.sub(r"'DejaVu Sans'[^;]*", lambda _: FONTS, value)
            element.set(key, value)
    for size in ("width", "height"):
        del root.attrib[size]
    root.attrib.update({"xmlns": SVG, "role": "img", "aria-label": label})
    title = ET.Element("title")
    title.text = label
    root.insert(0, title)
    return ET.tostring(root, encoding="unicode")


def log_axis(axes: Axes, which: str, form: FuncFormatter, ticks: Sequence[float] | None = None) -> None:
    """A logarithmic axis whose ticks are told in words of their own; at each power of ten, or where they are given."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(FixedLocator(ticks) if ticks is not None else LogLocator(numticks=8))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(form)


def decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten in between; only the powers where those would be too many."""
    powers = [10.0**p for p in range(-3, 7)]
    all_ticks = [factor * power for power in powers for factor in (1, 2, 5)]
    inside = [tick for tick in all_ticks if low <= tick <= high]
    return inside if len(inside) <= 8 else [tick for tick in powers if low <= tick <= high]


def grid(axes: Axes, which: str = "y") -> None:
    """Faint lines behind everything."""
    axes.grid(axis=which, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def legend_above(axes: Axes, columns: int = 2) -> None:
    """What is what, above the axes, where it hides nothing."""
    axes.figure.legend(
        loc="outside upper left", ncols=columns, fontsize=FONT, handlelength=1.6, columnspacing=1.2
    )


def apart(places: Iterable[float], least: float) -> list[float]:
    """The places, moved as little as it takes for neighbours to be `least` apart; their order is kept."""
    order = sorted(enumerate(places), key=lambda pair: pair[1])
    groups: list[tuple[list[float], list[int]]] = []
    for index, place in order:
        groups.append(([place], [index]))
        while len(groups) > 1 and _bottom(groups[-1][0], least) < _top(groups[-2][0], least) + least:
            lower, upper = groups[-2], groups.pop()
            groups[-1] = (lower[0] + upper[0], lower[1] + upper[1])
    moved = [0.0] * len(order)
    for members, indices in groups:
        for at, index in enumerate(indices):
            moved[index] = _bottom(members, least) + at * least
    return moved


def _bottom(members: Sequence[float], least: float) -> float:
    return sum(members) / len(members) - (len(members) - 1) * least / 2


def _top(members: Sequence[float], least: float) -> float:
    return sum(members) / len(members) + (len(members) - 1) * least / 2


def bars(
    name: str, title: str, caption: str, unit: str, values: Sequence[tuple[str, float | None, str, str]]
) -> Plot:
    """Horizontal bars from 0, each with its label above and its value behind.

    Args:
        name: of the plot.
        title: says what is seen.
        caption: says how to read it.
        unit: what the axis is in.
        values: label, length (None: no bar), the value in words, and how it is filled: "", or "predicted" for hollow.
    """
    canvas = Canvas(62 + 40 * len(values))
    axes = canvas.axes
    for at, (label, value, words, mark) in enumerate(values):
        hollow = mark == "predicted"
        axes.barh(
            at,
            0 if value is None else value,
            height=0.42,
            color="white" if hollow else COLOURS[0],
            edgecolor=COLOURS[0],
            hatch="////" if hollow else None,
        )
        axes.text(0, at - 0.32, shortened(label), va="bottom", ha="left")
        axes.annotate(
            words, (value or 0, at), xytext=(4, 0), textcoords="offset points", va="center", color=INK
        )
    largest = max((value for _, value, _, _ in values if value is not None), default=1) or 1
    axes.set_xlim(0, largest * 1.28)  # room for the words behind the longest bar
    axes.set_ylim(len(values) - 0.6, -0.85)
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    grid(axes, "x")
    return canvas.plot(name, title, caption)


def shortened(label: str, most: int = 44) -> str:
    """The label on one line, cut where it would leave the drawing."""
    label = plain(label)
    return label if len(label) <= most else f"{label[: most - 1]}…"
