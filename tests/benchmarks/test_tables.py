"""Tables of every benchmark: 100 columns, marks where they belong, reasons told, nothing obeyed that a file says."""

import copy
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import REPORTS, latent_vs_pixel, measured, model, peers
from rich.cells import cell_len

from latentrt.errors import InputError
from latentrt_bench.display.sheet import WIDTH, Cell, Sheet, as_markdown, as_text
from latentrt_bench.latent_vs_pixel.derive import derive
from latentrt_bench.model.derive import derive as model_derive
from latentrt_bench.report import Measurement, Row, read_report
from latentrt_bench.tables import found, sheets, table, warnings

LONG = "a-name-without-any-space-" * 20


def widest(text):
    return max(cell_len(line) for line in text.splitlines())


@pytest.mark.parametrize("benchmark", REPORTS)
def test_fits_the_terminal(benchmark):
    report = REPORTS[benchmark]()
    text = table(report)
    assert widest(text) <= WIDTH
    assert "\x1b" not in text
    assert "\x1b[" in table(report, is_terminal=True)


@pytest.mark.parametrize("benchmark", REPORTS)
def test_fits_with_long_names_and_many_rows(benchmark):
    report = REPORTS[benchmark]()
    for row in report.rows:
        row.name = f"{row.name} {LONG}"
        for measurement in row.measurements.values():
            measurement.reason = LONG if measurement.status != "measured" else None
    for entry in [
        *report.derived.get("rows", []),
        *(m for s in report.derived.get("sizes", []) for m in s["models"]),
    ]:
        entry["name"] = f"{entry['name']} {LONG}"
    report.rows += report.rows * 9
    report.warnings.append(LONG)
    text = table(report)
    assert widest(text) <= WIDTH
    assert LONG[:24] in text


@given(
    st.lists(st.text(max_size=30), min_size=1, max_size=14).flatmap(
        lambda heads: st.tuples(
            st.just(heads),
            st.lists(
                st.lists(
                    st.builds(
                        Cell, st.text(max_size=60), st.sampled_from(["", "predicted", "failed", "noisy"])
                    ),
                    min_size=len(heads),
                    max_size=len(heads),
                ),
                max_size=4,
            ),
        )
    )
)
@settings(max_examples=60)
def test_any_table_fits_and_stays_harmless(parts):
    heads, lines = parts
    sheet = Sheet("title", heads, lines, ["note"])
    text = as_text([sheet])
    assert widest(text) <= WIDTH
    assert all(character.isprintable() for character in text.replace("\n", ""))
    body = as_markdown(sheet).split("\n\n")[0].splitlines()
    assert len(body) == 2 + len(lines)
    assert {len(re.findall(r"(?<!\\)\|", line.replace("\\\\", ""))) for line in body} == {len(heads) + 1}


def test_wide_tables_go_on_below():
    """No column is lost where all together are wider than the terminal."""
    heads = [f"head{i}" for i in range(30)]
    lines = [[Cell(f"r{r}c{c:02}") for c in range(30)] for r in range(3)]
    text = as_text([Sheet("title", heads, lines)])
    assert widest(text) <= WIDTH
    for line in lines:
        for cell in line[1:]:
            assert text.count(cell.text) == 1
        assert text.count(line[0].text) > 1  # every part says what its lines are about


def sheet_of(report, title):
    return next(sheet for sheet in sheets(report) if sheet.title.startswith(title))


def cell(sheet, name, head):
    line = next(line for line in sheet.lines if line[0].text == name)
    return line[list(sheet.columns).index(head)]


def test_latent_vs_pixel_marks():
    sheet = sheet_of(latent_vs_pixel(), "One denoising step of 512×512")
    assert cell(sheet, "LDM-1", "step") == Cell("28.3 s", "predicted")
    assert cell(sheet, "LDM-32", "step").mark == "noisy"
    assert cell(sheet, "LDM-32", "spread") == Cell("31 %")
    assert cell(sheet, "LDM-16", "decode") == Cell("–", "failed")
    assert cell(sheet, "LDM-4", "step").mark == ""
    assert any("LDM-16" in note and "signal 9" in note for note in sheet.notes)
    # The step on pixels was not run.
    assert cell(sheet, "LDM-4", "× pixels measured") == Cell("5.18×", "predicted")
    assert not any("table 6" in note for note in sheet.notes)
    measured = sheet_of(latent_vs_pixel(), "One denoising step of 256×256")
    assert cell(measured, "LDM-4", "× pixels measured").mark == ""
    assert any("table 6" in note and "3.73×" in note for note in measured.notes)


def test_latent_vs_pixel_figures():
    report = latent_vs_pixel()
    steps = sheet_of(report, "One denoising step of 256×256")
    assert cell(steps, "LDM-4", "step") == Cell("1.30 s")
    assert cell(steps, "LDM-4", "× pixels measured") == Cell("5.31×")  # 6.9 / 1.3
    assert cell(steps, "LDM-4", "by MACs") == Cell("5.60×")  # 566 / 101
    assert cell(steps, "LDM-4", "GMAC/s") == Cell("77.7")  # 101 / 1.3
    assert cell(steps, "LDM-4", "latent") == Cell("3×64×64")
    pictures = sheet_of(report, "Whole pictures of 256×256")
    assert cell(pictures, "LDM-2", "1 step") == Cell("0.896×")  # 6.9 / (2.8 + 4.9)
    assert cell(pictures, "LDM-4", "50 steps") == Cell("5.05×")  # 345 / (65 + 3.3)
    assert cell(pictures, "LDM-2", "wins from") == Cell("2 steps")
    assert cell(pictures, "LDM-1", "wins from") == Cell("–")
    quality = sheet_of(report, "What compression costs")
    assert cell(quality, "measured: demo model, 64 pictures", "PSNR") == Cell("35.7 dB")
    assert Cell("24.19 dB") in [line[2] for line in quality.lines]


def test_joules_have_a_column_where_the_machine_tells_them():
    report = latent_vs_pixel()
    assert "and use" not in sheet_of(report, "Whole pictures").columns
    report.derived["sizes"][0]["models"][2]["joules"] = {"50": 4321.0}
    assert cell(sheet_of(report, "Whole pictures"), "LDM-4", "and use") == Cell("4.32 kJ")


def test_found_says_where_it_does_not_hold():
    text = " ".join(found(latent_vs_pixel()))
    assert "5.31× as fast, where MACs alone promise 5.60×" in text
    assert "LDM-2 (0.896×) is slower than pixels" in text
    assert "28.3 s (predicted: it did not run) in pixel space" in text
    assert "LDM-4 at 256×256 is 5.05× as fast as pixels over 50 steps, and 1.50× with a single one." in text
    assert (
        "LDM-4 at 512×512 is 4.93× as fast as pixels over 50 steps, and 1.46× with a single one (predicted in part)"
        in text
    )
    assert "35.7 dB" in text


def test_found_tells_of_pictures_not_of_batches():
    """A decode of four pictures is a quarter of itself in each."""
    report = latent_vs_pixel()
    one = re.search(r"The most at 256×256: .* the decode takes (\d+ %)", " ".join(found(report)))
    for row in report.rows:
        row.configuration["batch"] = 4
    report.derived = derive(report)
    four = re.search(r"The most at 256×256, batch 4: .* the decode takes (\d+ %)", " ".join(found(report)))
    assert one is not None and four is not None and one[1] == four[1]


def test_found_takes_another_model_where_ldm_4_failed():
    report = latent_vs_pixel()
    next(row for row in report.rows if row.name == "LDM-4 256x256").measurements["step"].fail("killed")
    report.derived = derive(report)
    assert "At 256×256, a denoising step took 2.80 s with LDM-2" in " ".join(found(report))


def test_a_slowed_machine_is_told_in_every_title():
    report = peers()
    assert not any("(" in sheet.title for sheet in sheets(report))
    report.conditions |= {"on_battery": True, "throttled": True}
    assert all(sheet.title.endswith(" (on battery, throttled)") for sheet in sheets(report))


def test_shares_are_those_of_the_sampler_that_is_named():
    report = model()
    row = report.rows[0]
    row.measurements["picture:Euler a"].rounds = [[30.0]] * 3
    row.facts["picture_stages"]["Euler a"] = [{"unet": 15.0, "text_encoder": 3.0, "vae_decoder": 6.0}] * 3
    report.derived = model_derive(report)
    first = found(report)[0]
    assert "30.0 s with Euler a" in first and "50 % of that goes to the UNet" in first
    stages = sheet_of(report, "Stages: 256x256")
    assert cell(stages, "UNet step, guided", "of a picture") == Cell("92 %")
    assert "Shares are those of a picture with DPM++ 2M." in stages.notes


def test_a_predicted_picture_is_told_as_one():
    report = model()
    for name in ("picture:DPM++ 2M", "picture:Euler a"):
        report.rows[0].measurements[name] = Measurement("predicted", predicted_s=60.0, reason="its stages")
    report.derived = model_derive(report)
    assert "1.00 pictures a minute (predicted from its stages)" in found(report)[0]
    pictures = sheet_of(report, "Whole pictures")
    assert pictures.lines[0][list(pictures.columns).index("pictures a minute")] == Cell("1.00", "predicted")


def test_model_tables():
    report = model()
    stages = sheet_of(report, "Stages: 256x256")
    assert cell(stages, "UNet step, guided", "one call") == Cell("2.70 s", "noisy")
    assert cell(stages, "UNet step, guided", "of a picture") == Cell("92 %")
    assert "GPU memory" not in stages.columns  # nothing stands in it
    failed = sheet_of(report, "Stages: 1024x1024")
    assert cell(failed, "UNet step", "one call") == Cell("–", "failed")
    assert any("signal 9" in note for note in failed.notes)
    assert cell(sheet_of(report, "Loading: 256x256"), "UNet", "cold file cache") == Cell("11.2 s")


def test_a_peer_with_fewer_rounds_is_told():
    report = peers()
    report.settings["rounds"] = 3
    report.rows[1].measurements["picture"].rounds = [[19.0]]
    (note,) = (note for note in sheet_of(report, "Peers").notes if "1 round" in note)
    assert note.startswith("diffusers, torch fp32 has 1 round:")


def test_what_exported_for_a_peer_is_told():
    report = peers()
    report.rows[3].facts["exported_by"] = {"optimum-intel": "2.2.0"}
    report.rows[2].facts |= {"layout": "channels last", "latents": "handed over", "precision": "bf16"}
    sheet = sheet_of(report, "What each was made of")
    assert cell(sheet, "OpenVINO GenAI", "versions").text.endswith("; exported by optimum-intel 2.2.0")
    assert cell(sheet, "diffusers, bf16 channels-last", "computes in") == Cell("bf16")
    assert "diffusers, bf16 channels-last: layout: channels last." in sheet.notes


def test_peer_tables():
    report = peers()
    sheet = sheet_of(report, "Peers")
    assert cell(sheet, "stable-diffusion.cpp", "picture") == Cell("–", "failed")
    assert any("no compiler was found" in note for note in sheet.notes)
    assert cell(sheet, "diffusers, bf16 channels-last", "picture") == Cell("71.0 s", "noisy")
    assert any("stable-diffusion.cpp did not run" in sentence for sentence in found(report))
    report.derived = {}
    assert "the first" in table(report)  # a run that ended before anything was painted


def test_warnings():
    report = latent_vs_pixel()
    report.complete = False
    said = list(warnings(report))
    assert "interrupted" in said[0]
    assert said[1].startswith("1 of ")
    assert "LDM-32 512x512 step" in said[1]
    assert said[2] == "The hypervisor gave 3% of the processor time to other machines."
    assert "interrupted" in table(report)


@pytest.mark.parametrize("benchmark", REPORTS)
def test_an_empty_report_has_tables(benchmark):
    report = REPORTS[benchmark]()
    report.rows, report.derived, report.ceilings = [], {}, None
    assert widest(table(report) or "-") <= WIDTH
    assert found(report) == []


def test_names_from_files_are_not_obeyed():
    report = peers()
    report.rows.append(Row("evil \x1b[2J\x07 [bold]\nnext", {}, {"picture": measured(1.0)}))
    report.rows.append(Row("worse", {}, {"picture": Measurement("failed", reason="\x1b]0;title\x07")}))
    text = table(report)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]" in text


def places(data, path=()):
    """The path to everything inside of a report's data."""
    if path:
        yield path
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        yield from places(value, (*path, key))


DATA = {name: json.loads(make().to_json()) for name, make in REPORTS.items()}
PLACES = {name: list(places(data)) for name, data in DATA.items()}
WRONG = [None, True, 0, -1, 1e300, "text", [], {}, [[]], [{}], {"rows": []}]


@given(
    st.sampled_from(sorted(REPORTS)).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(PLACES[name]), st.sampled_from(WRONG))
    )
)
@settings(max_examples=60)
def test_what_is_read_has_tables(tmp_path_factory, change):
    """A file that somebody has edited is refused when it is read, or can be shown."""
    name, path, wrong = change
    data = copy.deepcopy(DATA[name])
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = wrong
    file = tmp_path_factory.getbasetemp() / "edited.json"
    file.write_text(json.dumps(data))
    try:
        report = read_report(file)
    except InputError:
        return
    assert widest(table(report) or "-") <= WIDTH
    found(report)
