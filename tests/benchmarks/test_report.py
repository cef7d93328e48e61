"""A report's file: what is written is what is read, and what is no report is refused with the place where it is not."""

import json
import re
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import REPORTS, peers

from latentrt.errors import InputError
from latentrt_bench.report import Measurement, Report, Row, read_report

SECONDS = st.floats(0, 1e6)
COUNT = st.none() | st.integers(0, 2**70)
TEXT = st.text(max_size=20)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
FACTS = st.dictionaries(TEXT, DATA, max_size=3)
MEASUREMENTS = st.builds(
    Measurement,
    status=st.sampled_from(["measured", "predicted", "failed"]),
    rounds=st.lists(st.lists(SECONDS, max_size=3), max_size=3),
    warmup=st.lists(SECONDS, max_size=2),
    macs=COUNT,
    bytes_moved=COUNT,
    bytes_least=COUNT,
    peak_rss_bytes=COUNT,
    peak_gpu_bytes=COUNT,
    joules=st.none() | st.lists(SECONDS, max_size=3),
    predicted_s=st.none() | SECONDS,
    reason=st.none() | TEXT,
)
ROWS = st.builds(
    Row,
    name=TEXT,
    configuration=FACTS,
    measurements=st.dictionaries(TEXT, MEASUREMENTS, max_size=2),
    facts=FACTS,
)
LIMITS = st.fixed_dictionaries({"macs_per_s": SECONDS, "bytes_per_s": SECONDS, "detail": FACTS})
ANY_REPORT = st.builds(
    Report,
    benchmark=st.sampled_from(list(REPORTS)),
    command=st.lists(TEXT, max_size=3),
    started=TEXT,
    settings=FACTS,
    machine=FACTS,
    versions=st.dictionaries(TEXT, TEXT, max_size=2),
    seconds=SECONDS,
    complete=st.booleans(),
    conditions=FACTS,
    ceilings=st.none() | st.dictionaries(TEXT, LIMITS, max_size=2),
    rows=st.lists(ROWS, max_size=3),
    warnings=st.lists(TEXT, max_size=2),
    derived=FACTS,
)


@given(report=ANY_REPORT)
@settings(max_examples=60)
def test_read_is_what_was_written(report, tmp_path_factory):
    file = tmp_path_factory.mktemp("report") / "run.json"
    report.write(file)
    assert read_report(file) == report


@pytest.mark.parametrize("benchmark", REPORTS)
def test_made_up_reports_are_reports(benchmark, tmp_path):
    file = tmp_path / "run.json"
    REPORTS[benchmark]().write(file)
    assert read_report(file) == REPORTS[benchmark]()


def spoiled(change):
    data = json.loads(peers().to_json())
    change(data)
    return data


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda d: d.pop("machine"), "'machine' is a required property"),
        (lambda d: d.update(schema="latentrt-bench/2"), "expected a report with schema 'latentrt-bench/1'"),
        (lambda d: d.pop("schema"), "found None"),
        (lambda d: d.update(extra=1), "extra"),
        (lambda d: d.update(benchmark="tiles"), "benchmark: 'tiles' is not one of"),
        (lambda d: d.update(versions={"python": 3}), "versions/python: 3 is not of type 'string'"),
        (lambda d: d["rows"][1].pop("facts"), "rows/1: 'facts' is a required property"),
        (
            lambda d: d["rows"][0]["measurements"]["step"].update(status="guessed"),
            "rows/0/measurements/step/status",
        ),
        (
            lambda d: d["rows"][0]["measurements"]["step"]["rounds"][2].append(-1),
            "rows/0/measurements/step/rounds/2/1",
        ),
        (
            lambda d: d["rows"][0]["measurements"]["step"].update(rounds=[1.0]),
            "rows/0/measurements/step/rounds/0",
        ),
        (lambda d: d["rows"][0]["measurements"]["step"].update(macs=1.5), "rows/0/measurements/step/macs"),
        (lambda d: d["rows"][0]["measurements"]["step"].update(power=1), "power"),
        (lambda d: d["derived"]["rows"][0].pop("name"), "derived/rows/0: 'name' is a required property"),
    ],
)
def test_what_is_no_report_is_refused(change, where, tmp_path):
    file = tmp_path / "run.json"
    file.write_text(json.dumps(spoiled(change)))
    with pytest.raises(InputError, match=re.escape(where)) as refused:
        read_report(file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize("content", ["", "{", "nothing", "\ud83d", '"a" "b"', "[" * 100_000])
def test_what_is_no_json_is_refused(content, tmp_path):
    file = tmp_path / "run.json"
    file.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match="not JSON"):
        read_report(file)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_json_has_no_number_for_is_refused(number, tmp_path):
    file = tmp_path / "run.json"
    file.write_text(peers().to_json().replace('"seconds": 1234.5', f'"seconds": {number}'))
    with pytest.raises(InputError):
        read_report(file)


def test_nothing_unfinished_is_left_where_writing_fails(tmp_path):
    report = peers()
    report.seconds = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        report.write(tmp_path / "run.json")
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.lists(st.floats(0.001, 1e3), min_size=1, max_size=5), min_size=2, max_size=6))
def test_median_of_medians_and_spread(rounds):
    medians = [statistics.median(calls) for calls in rounds]
    measurement = Measurement(rounds=rounds, macs=10**9)
    assert measurement.seconds == statistics.median(medians)
    assert measurement.spread == (max(medians) - min(medians)) / statistics.median(medians)
    assert measurement.is_noisy == (measurement.spread > 0.10)
    assert measurement.macs_per_second == 10**9 / measurement.seconds


def test_what_was_not_measured_has_no_rate():
    assert Measurement("predicted", predicted_s=2.0, macs=4).seconds == 2.0
    assert Measurement("predicted", predicted_s=2.0, macs=4).macs_per_second is None
    assert Measurement("failed", reason="x").seconds is None
    assert Measurement(rounds=[[1.0, 3.0]]).spread is None
