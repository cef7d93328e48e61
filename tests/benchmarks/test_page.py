"""The page of every benchmark: complete, harmless, and shown by a real browser without complaint, on a phone too."""

import re
from html.parser import HTMLParser

import pytest
from browser import Browser, executable
from made_up import REPORTS, peers

from latentrt.errors import InputError
from latentrt_bench import render
from latentrt_bench.page import page
from latentrt_bench.tables import found, sheets

PLOTS = {"latent-vs-pixel": 5, "model": 3, "peers": 4}
VOID = {"meta", "br", "hr", "img", "input", "link"}
EVIL = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&\ud83d\x00\x1b[31m"


class Outline(HTMLParser):
    """Elements by tag with their attributes, and whether every one is closed."""

    def __init__(self, text):
        super().__init__()
        self.seen, self.open, self.crossed = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def all(self, tag):
        return [attributes for seen, attributes in self.seen if seen == tag]


@pytest.fixture(scope="module")
def pages():
    return {name: page(make()) for name, make in REPORTS.items()}


@pytest.mark.parametrize("benchmark", REPORTS)
def test_complete_and_well_formed(benchmark, pages):
    report, text = REPORTS[benchmark](), pages[benchmark]
    outline = Outline(text)
    assert outline.open == []
    assert outline.crossed == []
    assert outline.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in outline.all("meta")
    policy = next(
        m["content"] for m in outline.all("meta") if m.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "script" not in policy
    assert len(outline.all("svg")) == PLOTS[benchmark]
    assert len(outline.all("table")) == len(sheets(report)) + 1
    ids = [attributes["id"] for _, attributes in outline.seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    # What was found comes first, then the drawings, then the tables.
    places = [
        text.index('class="found"'),
        text.index("<svg"),
        text.index("<table"),
        text.index("How it was measured"),
    ]
    assert places == sorted(places)
    assert text.count("<li>") >= len(found(report))
    for row in report.rows:
        for measurement in row.measurements.values():
            for calls in measurement.rounds:
                assert all(f"{seconds:.4g}" in text for seconds in calls)
    machine = ("Made-up Processor 9000", "25.2 GB", "onnxruntime", "1.23.2", "hypervisor")
    for part in (*machine, f"latentrt bench {benchmark}"):
        assert part in text


@pytest.mark.parametrize("benchmark", REPORTS)
def test_loads_nothing(benchmark, pages):
    outline = Outline(pages[benchmark])
    assert not {"script", "link", "img", "iframe", "object", "embed", "form"} & {
        tag for tag, _ in outline.seen
    }
    for _, attributes in outline.seen:
        assert not {"src", "srcset", "action", "data"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"@import|url\((?!#)", pages[benchmark])


def spoil(report):
    """Put what a hostile file could hold into everything that is text."""
    report.warnings.append(EVIL)
    report.command.append(EVIL)
    report.started = EVIL
    report.machine = {"processor": EVIL, EVIL: [EVIL, {EVIL: EVIL}], "list": [{EVIL: EVIL}], "none": None}
    report.versions = {EVIL: EVIL}
    report.settings = {EVIL: [[1, EVIL]]}
    report.conditions = {EVIL: {EVIL: True}}
    report.ceilings = {EVIL: {"macs_per_s": 1e11, "bytes_per_s": 1e10, "detail": {EVIL: [1.0]}}}
    for row in report.rows:
        row.measurements[EVIL] = next(iter(row.measurements.values()))
        for measurement in row.measurements.values():
            measurement.reason = EVIL
        row.name = row.name + EVIL
    for entry in report.derived.get("rows", []):
        entry["name"] = entry["name"] + EVIL
    return report


@pytest.mark.parametrize("benchmark", REPORTS)
def test_hostile_names_are_text(benchmark):
    text = page(spoil(REPORTS[benchmark]()))
    text.encode()
    outline = Outline(text)
    assert outline.open == []
    assert outline.crossed == []
    assert not {"script", "img"} & {tag for tag, _ in outline.seen}
    assert "&lt;script&gt;" in text
    assert "\x00" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize("benchmark", REPORTS)
def test_an_empty_report_has_a_page(benchmark):
    report = REPORTS[benchmark]()
    report.rows, report.derived, report.ceilings, report.complete = [], {}, None, False
    text = page(report)
    assert "Nothing was measured to the end." in text
    assert "interrupted" in text


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if executable() is None:
        pytest.skip("chromium is not installed: expected `chromium` on the path")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


SMALLEST = (
    "Math.min(...[...document.querySelectorAll('p, li, td, th, dt, dd, span')]"
    ".map(element => parseFloat(getComputedStyle(element).fontSize)))"
)
OVERFLOW = "document.documentElement.scrollWidth"
# Every drawing's box, and every text in it that leaves the drawing by more than a pixel.
DRAWINGS = """
[...document.querySelectorAll('figure > svg')].map(svg => {
  const box = svg.getBoundingClientRect();
  const lost = [...svg.querySelectorAll('text')].filter(text => {
    const t = text.getBoundingClientRect();
    return t.left < box.left - 1 || t.right > box.right + 1 || t.top < box.top - 1 || t.bottom > box.bottom + 1;
  });
  const sizes = [...svg.querySelectorAll('text')].map(text =>
    parseFloat(getComputedStyle(text).fontSize) * box.width / svg.viewBox.baseVal.width);
  return {width: box.width, height: box.height, marks: svg.querySelectorAll('path, use').length,
          lost: lost.map(text => text.textContent), least: Math.min(...sizes)};
})
"""


@pytest.mark.parametrize("benchmark", REPORTS)
@pytest.mark.parametrize(("width", "is_phone"), [(1280, False), (375, True)])
def test_in_a_browser(benchmark, width, is_phone, pages, browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(pages[benchmark], encoding="utf-8")
    browser.open(path, width, is_phone=is_phone)
    assert browser.complaints == []
    assert browser.evaluate("window.innerWidth") == width
    assert browser.evaluate(OVERFLOW) <= width
    drawings = browser.evaluate(DRAWINGS)
    assert len(drawings) == PLOTS[benchmark]
    for drawing in drawings:
        assert drawing["width"] > 300
        assert drawing["height"] > 80
        assert drawing["marks"] > 3
        assert drawing["lost"] == []
        assert drawing["least"] >= 9.5  # CSS pixels
    assert browser.evaluate(SMALLEST) >= 12
    # Opened, the samples stay in their own box.
    assert browser.evaluate("document.querySelector('details').open = true") is True
    assert browser.evaluate(OVERFLOW) <= width


def test_hostile_names_in_a_browser(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page(spoil(peers())), encoding="utf-8")
    browser.open(path, 375, is_phone=True)
    assert browser.complaints == []
    assert browser.evaluate("document.title") != "owned"
    assert browser.evaluate("document.querySelectorAll('script, img').length") == 0
    assert browser.evaluate(OVERFLOW) <= 375


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<script>throw new Error('thrown')</script>", "thrown"),
        ("<script>console.error('said')</script>", "said"),
        ("<script>Promise.reject(new Error('promised'))</script>", "promised"),
        ("<img src='missing.png'>", "Failed to load resource"),
        (
            "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\"><script>1</script>",
            "Content Security Policy",
        ),
    ],
)
def test_the_browser_test_would_see_an_error(body, complaint, browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><title>t</title>{body}", encoding="utf-8")
    browser.open(path, 375, is_phone=True)
    assert any(complaint in said for said in browser.complaints), browser.complaints


def test_the_browser_test_would_see_an_overflow_and_lost_text(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'><div style='width:500px'>wide</div>"
        "<figure><svg viewBox='0 0 100 100' width=300><text x=90 y=50 font-size=8>longer than that</text></svg>"
    )
    browser.open(path, 375, is_phone=True)
    assert browser.evaluate(OVERFLOW) > 375
    (drawing,) = browser.evaluate(DRAWINGS)
    assert drawing["lost"] == ["longer than that"]
    assert drawing["least"] == pytest.approx(24)


def render_it(capsys, *words):
    import argparse

    parser = argparse.ArgumentParser()
    render.add_arguments(parser)
    code = render.run(parser.parse_args([str(word) for word in words]))
    return code, capsys.readouterr()


def test_render_writes_the_page_again(capsys, tmp_path, pages):
    file = tmp_path / "run.json"
    peers().write(file)
    code, told = render_it(capsys, file)
    assert code == 0
    assert (tmp_path / "run.html").read_text(encoding="utf-8") == pages["peers"]
    assert "Peers, same weights and same work" in told.out
    assert "run.html" in told.err
    code, _ = render_it(capsys, file, "--out", tmp_path / "other.html")
    assert (tmp_path / "other.html").read_bytes() == (tmp_path / "run.html").read_bytes()


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (None, [], "No such file"),
        ("[1, 2", [], "not JSON"),
        ('{"schema": "latentrt-bench/9"}', [], "latentrt-bench/9"),
        ("{}", ["--out", "nowhere/page.html"], "found None"),
    ],
)
def test_render_refuses_what_is_no_report(content, words, message, capsys, tmp_path):
    file = tmp_path / "run.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputError, match=re.escape(message)):
        render_it(capsys, file, *words)
    assert not (tmp_path / "run.html").exists()


def test_render_refuses_places_to_write(capsys, tmp_path):
    file = tmp_path / "run.json"
    peers().write(file)
    before = file.read_bytes()
    for out in (tmp_path / "no" / "page.html", tmp_path, file):
        with pytest.raises(InputError, match="--out"):
            render_it(capsys, file, "--out", out)
    assert file.read_bytes() == before
