"""Intervals and tests against values worked out by hand, and what must hold for any verdicts."""

from __future__ import annotations

import json
from itertools import combinations
from math import comb

import pytest

from conf.errors import SeedbedError
from rl import evaluate
from rl.evaluation import matrix_page, scores


def items(*rows: str) -> list[dict]:
    words = {"p": "pass", "f": "fail", "i": "infrastructure", "u": "unsupported"}
    return [
        {
            "task_id": f"t{i}",
            "prompt": "?",
            "samples": [{"verdict": words[c], "reason": "", "completion": c} for c in row],
        }
        for i, row in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("n", "c", "k"), [(5, 2, 1), (5, 2, 2), (5, 0, 3), (5, 5, 1), (6, 3, 4), (4, 3, 2)]
)
def test_pass_at_k_is_the_share_of_k_subsets_with_a_correct_sample(n, c, k):
    subsets = list(combinations([True] * c + [False] * (n - c), k))
    share = sum(any(s) for s in subsets) / len(subsets)
    assert scores.unbiased_pass_at_k(n, c, k) == pytest.approx(share)


def test_pass_at_is_the_mean_over_items_for_powers_of_two():
    found = scores.pass_at(items("pfff", "ffff"))
    assert found == {"pass@1": 0.125, "pass@2": 0.25, "pass@4": 0.5}


def test_an_outage_lowers_the_number_of_samples_not_the_score():
    assert scores.pass_at(items("pi", "pp")) == {"pass@1": 1.0}


def test_the_interval_of_equal_items_is_a_point_and_widens_with_their_spread():
    assert scores.intervals(items("p", "p", "p")) == {"pass@1": (1.0, 1.0)}
    low, high = scores.intervals(items(*"pf" * 50))["pass@1"]
    # The standard error of 100 fair coins is 0.05; 95 % lie within 1.96 times that.
    assert (low, high) == pytest.approx((0.402, 0.598), abs=0.015)
    assert scores.intervals(items(*"pf" * 50)) == scores.intervals(items(*"pf" * 50))


def test_a_problem_that_could_not_be_judged_counts_nowhere_and_leaves_the_others_their_scores():
    assert (
        scores.pass_at(items("pf", "iu"))
        == scores.pass_at(items("pf"))
        == {"pass@1": 0.5, "pass@2": 1.0}
    )
    assert scores.intervals(items("pf", "ii")) == scores.intervals(items("pf"))


def test_one_sample_an_item_is_mcnemars_exact_test():
    before, after = items(*"ffffffppp"), items(*"pppppffpp")
    found = scores.paired(before, after)
    assert (found["better"], found["worse"], found["items"]) == (5, 1, 9)
    two_sided = 2 * sum(comb(6, k) for k in (5, 6)) / 2**6
    assert found["p_value"] == pytest.approx(two_sided)
    assert found["difference"] == pytest.approx(4 / 9)


def test_models_that_never_differ_have_p_one():
    found = scores.paired(items("p", "f"), items("p", "f"))
    assert (found["p_value"], found["difference"], found["interval"]) == (1.0, 0.0, (0.0, 0.0))


def test_many_items_are_tested_by_random_signs_close_to_the_exact_value():
    before, after = items(*"f" * 16), items(*"p" * 12, *"f" * 4)
    # With 12 differing items all patterns are tried.
    assert scores.paired(before, after)["p_value"] == 2 / 2**12
    found = scores.paired(items(*"f" * 14, *"p" * 6), items(*"p" * 14, *"f" * 6))
    two_sided = 2 * sum(comb(20, k) for k in range(14, 21)) / 2**20
    assert found["p_value"] == pytest.approx(two_sided, abs=0.02)


def test_only_items_of_both_with_a_verdict_are_paired():
    found = scores.paired(items("p", "i", "f"), items("pf", "p"))
    assert (found["items"], found["first"], found["second"]) == (1, 1.0, 0.5)
    assert scores.paired(items("i"), items("p")) == {"items": 0}


def test_compare_prints_the_difference_and_refuses_what_cannot_be_compared(tmp_path, capsys):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(json.dumps({"items": items("f", "f", "p")}))
    second.write_text(json.dumps({"items": items("p", "p", "p", "f")}))
    assert evaluate.main(["compare", str(first), str(second)]) == 0
    said = capsys.readouterr().out
    assert "pass@1 0.3333 -> 1.0000 on 3 problems: +0.6667" in said
    assert "1 problems stand in one file only" in said
    assert "better on 2, worse on 0; two-sided sign-flip test p = 0.5000" in said
    second.write_text("{}")
    with pytest.raises(SeedbedError, match="is not an evaluation"):
        evaluate.main(["compare", str(first), str(second)])
    second.write_text(json.dumps({"items": []}))
    with pytest.raises(SeedbedError, match="no problem in common"):
        evaluate.main(["compare", str(first), str(second)])


def test_the_page_has_a_cell_a_sample_and_shows_what_failed_as_text():
    rows = items("pf", "ii")
    rows[0]["samples"][1]["completion"] = "<script>alert(1)</script>\0\udcff"
    result = {"benchmark": "b<1>", "model": "m", "samples": 2, "temperature": 0.6, "items": rows}
    result |= {"pass_at": {"pass@1": 0.5}, "intervals": {"pass@1": (0.0, 1.0)}}
    result["free_of_overlap"] = {"items": 1, "pass_at": {"pass@1": 0.25}}
    page = matrix_page.page(result)
    assert page.count('<i class="') == 4
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x00\\udcff" in page
    assert "pass@1 0.2500 on the 1 free of overlap" in page
    page.encode()


def test_a_summary_says_how_many_problems_and_samples_have_no_verdict():
    found = scores.summary(items("pu", "ui", "pp", "u"))
    assert (found["counted"], found["unjudged_samples"]) == (2, 4)
    assert found["unjudged"] == {"t1": "unsupported: ", "t3": "unsupported: "}


def test_what_has_no_verdict_is_named_with_the_first_reason():
    [row] = items("iu")
    row["samples"][0]["reason"] = "no jail"
    assert scores.unjudged([row, *items("p")]) == {"t0": "infrastructure: no jail"}


def test_up_to_fourteen_items_all_signs_are_tried_and_then_the_observed_one_counts_once():
    assert scores.paired(items(*"f" * 14), items(*"p" * 14))["p_value"] == 2 / 2**14
    # Of 10,000 random patterns hardly one has 40 equal signs.
    found = scores.paired(items(*"f" * 40), items(*"p" * 40))
    assert found["p_value"] == 1 / (scores.DRAWS + 1)
    assert (found["better"], found["worse"], found["difference"]) == (40, 0, 1.0)


def test_the_interval_of_a_difference_is_that_of_the_mean_over_items():
    found = scores.paired(items(*"f" * 100), items(*"pf" * 50))
    assert found["interval"] == pytest.approx((0.402, 0.598), abs=0.015)
    worse = scores.paired(items(*"pf" * 50), items(*"f" * 100))
    assert worse["interval"] == pytest.approx((-0.598, -0.402), abs=0.015)
    assert (worse["first"], worse["second"], worse["worse"]) == (0.5, 0.0, 50)
