"""Two runs side by side: what counts as a difference, and what is said of runs that differ in more than speed."""

import copy
import json
import math
import statistics

import made_up
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from latentrt.cli.main import main
from latentrt.errors import InputError
from latentrt_bench.compare import FLOOR, MIN_ROUNDS, compare, judge, show
from latentrt_bench.report import Measurement, Report

seconds = st.floats(1e-5, 1e3)
samples = st.lists(seconds, min_size=MIN_ROUNDS, max_size=7)


def taken(*medians: float, **others) -> Measurement:
    """One call a round."""
    return Measurement(rounds=[[median] for median in medians], **others)


@given(samples, samples)
def test_the_rule_by_hand(before, after):
    noise, verdict = judge(taken(*before), taken(*after))
    limit = max((max(before) / min(before)) * (max(after) / min(after)), 1 + FLOOR)
    ratio = statistics.median(after) / statistics.median(before)
    assert noise == pytest.approx(limit, rel=1e-9)
    assume(abs(max(ratio, 1 / ratio) / limit - 1) > 1e-9)  # on the edge, rounding decides
    expected = "slower" if ratio > limit else "faster" if ratio < 1 / limit else "within noise"
    assert verdict == expected


@example([11.0, 11.0, 11.0], [11.0, 432.0, 432.0])  # on the edge
@given(samples, samples)
def test_a_difference_that_counts_leaves_no_round_in_between(before, after):
    verdict = judge(taken(*before), taken(*after))[1]
    if verdict == "slower":
        assert min(after) > max(before)
    if verdict == "faster":
        assert max(after) < min(before)


@example([48.0, 48.0, 67.0], [67.0, 67.0, 67.0])  # on the edge
@given(samples, samples)
def test_the_other_way_round_is_the_other_verdict(before, after):
    opposite = {"slower": "faster", "faster": "slower", "within noise": "within noise"}
    assert judge(taken(*after), taken(*before))[1] == opposite[judge(taken(*before), taken(*after))[1]]


@given(samples, st.floats(0.5, 2.0))
def test_a_run_times_a_factor_is_found_once_it_leaves_its_own_noise(before, factor):
    spread = max(before) / min(before)
    verdict = judge(taken(*before), taken(*(factor * one for one in before)))[1]
    if max(factor, 1 / factor) > max(spread**2, 1 + FLOOR) * (1 + 1e-9):
        assert verdict == ("slower" if factor > 1 else "faster")
    if max(factor, 1 / factor) < max(spread**2, 1 + FLOOR) * (1 - 1e-9):
        assert verdict == "within noise"


def test_a_run_beside_itself_is_within_its_noise():
    report = made_up.model()
    assert {line.verdict for line in compare(report, copy.deepcopy(report)).lines} == {
        "within noise",
        "failed before",
    }


@pytest.mark.parametrize("rounds", range(MIN_ROUNDS))
def test_nothing_is_called_from_too_few_rounds(rounds):
    few, many = taken(*[1.0] * rounds), taken(*[9.0] * MIN_ROUNDS)
    assert judge(few, many) == judge(many, few) == (None, "too few rounds")


def test_a_round_has_one_vote_however_many_calls_it_has():
    before = Measurement(rounds=[[1.0, 1.0, 50.0]] * 3)
    assert judge(before, taken(1.5, 1.5, 1.5)) == (pytest.approx(1 + FLOOR), "slower")


@pytest.mark.parametrize(("rounds", "low", "high"), [(2, 0.117, 0.137), (3, 0.010, 0.018), (5, 0.0, 0.0006)])
def test_how_often_chance_alone_is_called_a_difference(rounds, low, high, monkeypatch):
    """What the docs say: 13 %, 1.4 % and 0.01 %, for the rule without its floor."""
    monkeypatch.setattr("latentrt_bench.compare.FLOOR", 0.0)
    monkeypatch.setattr("latentrt_bench.compare.MIN_ROUNDS", 2)
    pairs = 10_000
    drawn = 1 + 1e-3 * np.random.default_rng(0).standard_normal((pairs, 2, rounds))
    called = sum(judge(taken(*before), taken(*after))[1] != "within noise" for before, after in drawn)
    assert low <= called / pairs <= high


@given(samples, samples, st.floats(0, 1))
def test_what_others_took_is_noise_in_full(before, after, share):
    quiet, verdict = judge(taken(*before), taken(*after))
    noise, beside_others = judge(taken(*before), taken(*after), share)
    assert noise == pytest.approx(quiet / (1 - min(share, 0.99)), rel=1e-9)
    assert beside_others in (verdict, "within noise")


def test_a_run_that_others_slowed_down_is_not_called_slower():
    before, after = made_up.model(), made_up.model()
    for row in after.rows:
        for measurement in row.measurements.values():
            measurement.rounds = [[2.5 * one for one in calls] for calls in measurement.rounds]
    assert "slower" in {line.verdict for line in compare(before, after).lines}
    after.conditions = {**after.conditions, "others": 0.6, "steal": None}
    assert {line.verdict for line in compare(before, after).lines} == {"within noise", "failed before"}


def test_what_is_no_pair_of_measurements_is_not_judged():
    good = taken(1, 1, 1, macs=5)
    assert judge(good, Measurement("failed", reason="x")) == (None, "failed after")
    assert judge(Measurement("predicted", predicted_s=3), good) == (None, "predicted before")
    assert judge(good, taken(2, 2, 2, macs=6)) == (None, "other work")
    assert judge(good, taken(0, 0, 0, macs=5)) == (None, "no time")


@pytest.mark.parametrize("benchmark", made_up.REPORTS)
def test_reports_of_every_benchmark(benchmark):
    before, after = made_up.REPORTS[benchmark](), made_up.REPORTS[benchmark]()
    name, measurement = next(
        (name, m) for name, m in after.rows[1].measurements.items() if m.status == "measured"
    )
    measurement.rounds = [[7 * one for one in calls] for calls in measurement.rounds]
    slower = [line for line in compare(before, after).lines if line.verdict == "slower"]
    assert [(line.row, line.measurement) for line in slower] == [(after.rows[1].name, name)]
    assert slower[0].ratio == pytest.approx(7, rel=1e-12)
    assert slower[0].after == pytest.approx(7 * slower[0].before, rel=1e-12)


def test_what_else_differs_is_said():
    before, after = made_up.model(), made_up.model()
    after.machine = {**after.machine, "memory_bytes": 8}
    after.versions = {**after.versions, "onnxruntime": "1.24.0", "onnxruntime-gpu": "1"}
    after.settings = {**after.settings, "steps": 30}
    after.complete = False
    after.rows[0].configuration = {**after.rows[0].configuration, "steps": 30}
    after.rows[1].measurements["new"] = taken(1, 1, 1)
    del after.rows[1].measurements["unet"]
    found = compare(before, after)
    for sentence in (
        "other machine: memory_bytes: 25200000000 before, 8 after",
        "other versions: onnxruntime: 1.23.2 before, 1.24.0 after",
        "other versions: onnxruntime-gpu: nothing before, 1 after",
        "other settings: steps: 20 before, 30 after",
        "the run after was interrupted",
        f"before: {before.warnings[0]}",
    ):
        assert sentence in found.warnings
    verdicts = {(line.row, line.measurement): line.verdict for line in found.lines}
    first, second = before.rows[0].name, before.rows[1].name
    assert {verdict for (row, _), verdict in verdicts.items() if row == first} == {"other work"}
    assert (verdicts[second, "new"], verdicts[second, "unet"]) == ("only after", "only before")


def test_peers_of_other_versions_are_told():
    before, after = made_up.peers(), made_up.peers()
    after.rows[0].facts["versions"] = {"python": "3.11.2", "latentrt": "1.2.4"}
    assert (
        compare(before, after).warnings[0]
        == "other versions of latentrt: latentrt: 1.2.3 before, 1.2.4 after"
    )


def test_where_there_is_nothing_to_compare_that_is_said():
    empty = Report("model", [], "", {}, {}, {}, complete=True)
    assert "nothing to compare" in show(compare(empty, copy.deepcopy(empty)))


def test_of_two_benchmarks_nothing_is_compared():
    with pytest.raises(InputError, match="'model' and 'peers'"):
        compare(made_up.model(), made_up.peers())


@pytest.mark.parametrize("benchmark", made_up.REPORTS)
def test_the_table_fits_100_columns(benchmark):
    report = made_up.REPORTS[benchmark]()
    text = show(compare(report, report))
    assert max(map(cell_len, text.splitlines())) <= 100
    for row in report.rows:
        assert row.name.split()[0] in text


def test_the_command(tmp_path, capsys):
    before, after = made_up.model(), made_up.model()
    unet = after.rows[0].measurements["unet"]
    unet.rounds = [[calls[0] / 3] for calls in unet.rounds]
    for report, name in ((before, "a.json"), (after, "b.json")):
        report.write(tmp_path / name)
    files = [str(tmp_path / name) for name in ("a.json", "b.json")]
    assert main(["bench", "compare", *files]) == 0
    assert "faster" in capsys.readouterr().out
    assert main(["bench", "compare", *files, "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)["lines"]
    faster = [line for line in lines if line["verdict"] == "faster"]
    assert [(line["measurement"], line["ratio"]) for line in faster] == [("unet", pytest.approx(1 / 3))]
    assert faster[0]["noise"] == pytest.approx(
        math.prod(max(m) / min(m) for m in (before.rows[0].measurements["unet"].medians, unet.medians))
        / (1 - 0.01 - 0.03)  # what others and the hypervisor had
    )


@pytest.mark.parametrize("text", [None, "", "[1]", '{"schema": "latentrt-bench/0"}'])
def test_files_that_are_no_reports(tmp_path, capsys, text):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    made_up.model().write(good)
    if text is not None:
        bad.write_text(text)
    assert main(["bench", "compare", str(good), str(bad)]) == 2
    assert "bad.json" in capsys.readouterr().err
