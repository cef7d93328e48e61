"""What fast recipes cost and save: the table, and that it is measured as it says."""

import sys

import pytest

from latentrt_bench import fast_agreement
from latentrt_bench.fast_agreement import HEADER, Agreement, prompts


def test_a_row_says_mean_and_worst_and_what_is_saved():
    one = Agreement("euler", 20, "cache=2.5", 8, [50.0, 44.0], [40.0, 30.0], [(3.0, 1.0), (1.0, 1.0)])
    row = one.row()
    assert row == "| euler | 20 | `cache=2.5` | 8 | 2.50× | 2.00× | 47.0 | 44.0 | 35.0 | 30.0 |"
    assert row.count("|") == HEADER.partition("\n")[0].count("|")


def test_prompts_are_the_same_each_time_and_longer_lists_begin_with_shorter():
    assert prompts(5) == prompts(9)[:5]
    assert len(set(prompts(50))) == 50


def test_it_paints_exact_fast_and_plain(monkeypatch, capsys):
    words = ["--prompts", "1", "--steps", "10", "--recipes", "cache=2", "cache=2,guidance=0-0.5"]
    monkeypatch.setattr(sys, "argv", ["fast_agreement", *words])
    assert fast_agreement.main() == 0
    out, err = capsys.readouterr()
    assert "1 of 1: dpmpp_2m cache=2: " in err
    _, _, _, _, first, second = out.splitlines()
    assert first.startswith("| dpmpp_2m | 10 | `cache=2` | 5 | 2.00× | ")
    # Of five evaluations those of the second half ask for the prompt alone.
    assert second.startswith("| dpmpp_2m | 10 | `cache=2,guidance=0-0.5` | 4 | 2.50× | ")
    near, _, plain, _ = (float(cell) for cell in first.split("|")[7:11])
    assert near > 35
    assert near > plain - 3


@pytest.mark.parametrize("recipe", ["fastest"])
def test_what_is_no_recipe_is_refused(recipe, monkeypatch):
    from latentrt.errors import SettingError

    monkeypatch.setattr(sys, "argv", ["fast_agreement", "--recipes", recipe])
    with pytest.raises(SettingError, match="fast: expected off, one of light"):
        fast_agreement.main()
