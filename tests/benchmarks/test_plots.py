"""Plots: their labels are there as text, their ids are their own, and the same report gives the same bytes."""

import itertools
import math
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import REPORTS, latent_vs_pixel, model, peers

from latentrt_bench.display.canvas import apart, style
from latentrt_bench.latent_vs_pixel.plots import step_time
from latentrt_bench.plots import plots

LABELS = {
    "latent-vs-pixel": {
        "step-time": ["256×256", "512×512", "downsampling factor f", "seconds per denoising step", "1 s"],
        "speed-up-0": [
            "f = 2",
            "f = 32",
            "denoising steps of a picture",
            "times faster than in pixel space",
            "10×",
        ],
        "speed-up-1": ["f = 2", "f = 32", "as fast as pixels", "200"],
        "memory": ["peak memory in GB", "5.1"],
        "rate": ["GMAC/s", "limit, cpu float32"],
    },
    "model": {
        "stage-shares": ["UNet step, guided", "VAE decode", "92 %", "256x256 batch 1 cpu float32"],
        "roofline": ["work for each byte that must move, MAC/byte", "GMAC/s", "text encoder", "cpu float32"],
        "memory": ["GB", "4.60 GB"],
    },
    "peers": {
        "picture": ["seconds", "latentrt", "14.0 s", "stable-diffusion.cpp", "did not run"],
        "first-picture": ["44.0 s", "OpenVINO GenAI"],
        "memory": ["6.20 GB"],
        "installed": ["243 MB"],
    },
}


@pytest.fixture(scope="module")
def drawings():
    return {name: plots(make()) for name, make in REPORTS.items()}


def texts(plot):
    root = ET.fromstring(plot.svg)
    return ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("benchmark", REPORTS)
def test_labels_and_reproducible_bytes(benchmark, drawings):
    drawn = drawings[benchmark]
    assert {plot.name for plot in drawn} == set(LABELS[benchmark])
    for plot in drawn:
        told = texts(plot)
        for label in LABELS[benchmark][plot.name]:
            assert label in told, (plot.name, label, told)
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path", "svg.hashsalt": "other"}):
        again = plots(REPORTS[benchmark]())
    assert [plot.svg for plot in again] == [plot.svg for plot in drawn]


@pytest.mark.parametrize("benchmark", REPORTS)
def test_svg_stands_in_a_page(benchmark, drawings):
    ids = []
    for plot in drawings[benchmark]:
        root = ET.fromstring(plot.svg)
        assert root.get("role") == "img"
        assert root.get("aria-label").startswith(plot.title)
        assert root.get("width") is None
        assert root.get("viewBox").split()[:3] == ["0", "0", "375"]
        own = [element.get("id") for element in root.iter() if element.get("id")]
        assert all(name.startswith(f"{plot.name}-") for name in own)
        ids += own
        used = re.findall(r"""(?:href="#|url\(#)([^")]+)""", plot.svg)
        assert used, plot.name
        assert set(used) <= set(own)
        assert "<metadata" not in plot.svg
        assert "<!DOCTYPE" not in plot.svg
    assert len(ids) == len(set(ids))


def test_a_predicted_point_is_hollow(drawings):
    report = latent_vs_pixel()
    for size in report.derived["sizes"]:
        for entry in size["models"]:
            entry["step_status"] = "measured"
    with style():
        filled = step_time(report)
    assert drawings["latent-vs-pixel"][0].svg.count("fill: #ffffff") == filled.svg.count("fill: #ffffff") + 1


def test_break_even_is_marked_where_it_lies(drawings):
    """LDM-2 at 256x256: 4.9 / (6.9 - 2.8) = 1.195 steps; the others win from the first."""
    drawn = {plot.name: plot for plot in drawings["latent-vs-pixel"]}
    root = ET.fromstring(drawn["speed-up-0"].svg)
    uses = [e for e in root.iter() if e.tag.endswith("use")]
    rings = [e for e in uses if "fill: #ffffff" in (e.get("style") or "")]
    assert len(rings) == 1
    # Ticks at 1 and 4 steps give the logarithmic scale.
    ticks = sorted({float(e.get("x")) for e in uses if (e.get("style") or "").startswith("fill: #616e7c")})[
        :2
    ]
    per_e = (ticks[1] - ticks[0]) / 1.3862943611
    assert float(rings[0].get("x")) == pytest.approx(ticks[0] + per_e * math.log(4.9 / 4.1), abs=0.5)


def test_nothing_measured_draws_nothing():
    for make in (latent_vs_pixel, model, peers):
        report = make()
        report.rows, report.derived, report.ceilings = [], {}, None
        assert plots(report) == []


def test_hostile_names_stay_text():
    report = peers()
    report.rows[0].name = "<script>alert('$x_1$')</script> url(#a) \ud83d\ude00"
    picture = plots(report)[0]
    assert "<script>" not in picture.svg
    assert any(text.startswith("<script>alert('$x_1$')</script>") for text in texts(picture))


@given(st.lists(st.floats(0, 1), max_size=8))
def test_labels_are_set_apart(places):
    moved = apart(places, 0.07)
    assert len(moved) == len(places)
    ranked = sorted(range(len(places)), key=lambda index: (places[index], moved[index]))
    gaps = [moved[b] - moved[a] for a, b in itertools.pairwise(ranked)]
    assert all(gap >= 0.07 - 1e-9 for gap in gaps)
    if len(places) == 1:
        assert moved == places
