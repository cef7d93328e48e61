"""README and docs say of the benchmarks what their committed runs say, and nothing else."""

import re
import sys
from pathlib import Path

import pytest
from made_up import REPORTS

from latentrt.errors import InputError
from latentrt_bench.report import read_report

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import quote_results as quotes  # noqa: E402


@pytest.fixture
def results(tmp_path):
    for name, make in REPORTS.items():
        make().write(tmp_path / f"{name}.json")
    return tmp_path


def region(name, what, inside=""):
    return f"before\n\n<!-- bench: {name}.json {what} -->\n{inside}<!-- /bench -->\n\nafter\n"


@pytest.mark.parametrize("page", quotes.PAGES, ids=lambda page: page.name)
def test_the_pages_say_what_the_runs_say(page):
    text = page.read_text(encoding="utf-8")
    assert quotes.fill(text, quotes.RESULTS) == text, "run: python tools/quote_results.py"


@pytest.mark.parametrize("path", sorted(quotes.RESULTS.glob("*.json")), ids=lambda path: path.name)
def test_committed_runs_are_reports(path):
    assert read_report(path).complete


@pytest.mark.parametrize(
    ("name", "what", "told"),
    [
        (
            "latent-vs-pixel",
            "summary",
            "| LDM-4 | 1.30 s | 5.31× | 5.60× | 5.05× | 5.46 s | 5.18× *predicted* | 4.97× | 4.93× *predicted* |",
        ),
        ("latent-vs-pixel", "steps", "| LDM-1 | 3×512×512 | 274 M | 28.3 s *predicted* |"),
        (
            "latent-vs-pixel",
            "pictures",
            "| LDM-2 | 0.896× | 1.71× | 2.27× | 2.38× | 2.44× | 2 steps | 145 s |",
        ),
        ("latent-vs-pixel", "rest", "| paper, KL | 8 | 24.19 dB | 0.9 |"),
        ("latent-vs-pixel", "found", "- At 256×256, a denoising step took 1.30 s with LDM-4"),
        ("model", "stages", "| UNet step, guided | 2.70 s *noisy* | 14 % | 92 % |"),
        ("model", "loading", "| UNet | 11.2 s | 5.10 s |"),
        ("model", "paintings", "| 256x256 batch 1 cpu float32 | Euler a | 20 | 60.0 s | 3.0 % | 1.00 |"),
        ("model", "limits", "| cpu float32 | 95.0 GMAC/s | 14.0 GB/s |"),
        (
            "peers",
            "peers",
            "| OpenVINO GenAI | 15.0 s | 2.0 % | 1.07× | 660 ms | 1.06× | 44.0 s | 6.20 GB | 320 MB |",
        ),
        (
            "peers",
            "environments",
            "| OpenVINO GenAI | python 3.11.2, openvino genai 1.2.3 | 9 | 0.300 | 52.3 dB |",
        ),
        ("peers", "machine", "Made-up Processor 9000, 2 virtual cores, 25.2 GB of memory;"),
    ],
)
def test_regions_are_filled(name, what, told, results):
    filled = quotes.fill(region(name, what, "old figures\n"), results)
    assert filled.startswith("before\n\n<!-- bench: ")
    assert filled.endswith("<!-- /bench -->\n\nafter\n")
    assert told in filled
    assert "old figures" not in filled
    assert quotes.fill(filled, results) == filled
    rows = re.findall(r"^\|.*\|$", filled, re.MULTILINE)
    if what == "summary":
        assert len(rows) == 2 + 6


def test_every_quote_is_made_of_its_benchmark(results):
    for what, (benchmark, _) in quotes.QUOTES.items():
        for name in REPORTS:
            if benchmark in (None, name):
                assert quotes.fill(region(name, what), results).count("\n") > 6
            else:
                with pytest.raises(quotes.QuoteError, match=f"told of {benchmark}"):
                    quotes.fill(region(name, what), results)


def test_a_changed_figure_is_seen(results, monkeypatch, capsys):
    page = results / "page.md"
    page.write_text(quotes.fill(region("peers", "peers"), results), encoding="utf-8")
    monkeypatch.setattr(quotes, "PAGES", [page])
    monkeypatch.setattr(quotes, "RESULTS", results)
    monkeypatch.setattr(sys, "argv", ["quote_results.py", "--check"])
    assert quotes.main() == 0
    right = page.read_text(encoding="utf-8")
    page.write_text(right.replace("15.0 s", "14.0 s"), encoding="utf-8")
    assert quotes.main() == 1
    assert "page.md" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") != right  # looking changes nothing
    monkeypatch.setattr(sys, "argv", ["quote_results.py"])
    assert quotes.main() == 0
    assert page.read_text(encoding="utf-8") == right


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (region("peers", "everything"), quotes.QuoteError, "expected a file and one of"),
        (region("nothing", "peers"), InputError, "No such file"),
        ("<!-- bench: peers.json peers -->\nnever closed\n", quotes.QuoteError, "not closed"),
        (
            "text <!-- bench: peers.json peers -->\n<!-- /bench -->\n",
            quotes.QuoteError,
            "alone on their lines",
        ),
        ("<!-- /bench -->\n", quotes.QuoteError, "not closed"),
        (region("peers", "peers", "<!-- bench: peers.json found -->\n"), quotes.QuoteError, "not closed"),
    ],
)
def test_regions_that_cannot_be_filled(text, error, message, results):
    with pytest.raises(error, match=message):
        quotes.fill(text, results)
