"""EvalPlus' rules. Each outcome is what EvalPlus 0.3.1 says of the same row and program.

One is not: EvalPlus 0.3.1 passes no program of find_zero, its own reference neither, since it does
not count an input that it judges by its special rule.
"""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from seedbed.sandbox import Sandbox, formats

Case = tuple[str, str, list[list[object]], float, str, str, str]

# (task, function, inputs, atol, body of the reference, body to judge, verdict)
CASES: list[Case] = [
    ("Mbpp/2", "similar_elements(a, b)", [[[3, 5], [5, 4]]], 0, "(5,)", "[5]", "pass"),
    ("Mbpp/2", "similar_elements(a, b)", [[[3, 5], [5, 4]]], 0, "(5,)", "[3, 5]", "fail"),
    ("Mbpp/2", "similar_elements(a, b)", [[[3, 5], [5, 4]]], 0, "(5,)", "5", "fail"),
    ("Mbpp/103", "f(a)", [[[1]]], 0, "a", "[1]", "pass"),
    ("Mbpp/116", "f(a)", [[[1]]], 0, "a", "(1,)", "pass"),
    ("Mbpp/116", "f(a)", [[[1]]], 0, "a", "[1]", "fail"),
    ("Mbpp/417", "f(a)", [[[[1], [2]]]], 0, "a", "[(1,), (2,)]", "pass"),
    ("Mbpp/252", "f(a)", [["1+2j"]], 0, "a.imag", "2.0", "pass"),
    ("Mbpp/722", "f(a, b)", [[{"k": [1]}, 2]], 0, "a", "{'k': (1,)}", "pass"),
    ("Mbpp/791", "f(a)", [[[1, [2]]]], 0, "a", "(1, (2,))", "pass"),
    ("Mbpp/164", "are_equivalent(a, b)", [[1, 2]], 0, "a == b", "7", "pass"),
    ("Mbpp/295", "sum_div(n)", [[8], [12]], 0, "n - 1", "0", "pass"),
    ("Mbpp/295", "sum_div(n)", [[8], [12]], 0, "n - 1", "n", "fail"),
    ("Mbpp/581", "surface_Area(b, s)", [[3, 4]], 0, "2 * b * s + b * b", "35", "pass"),
    ("Mbpp/581", "surface_Area(b, s)", [[3, 4]], 0, "2 * b * s + b * b", "36", "fail"),
    ("Mbpp/558", "digit_distance_nums(a, b)", [[1, 256]], 0, "sum([2, 5, 5])", "12", "pass"),
    ("Mbpp/558", "digit_distance_nums(a, b)", [[1, 256]], 0, "sum([2, 5, 5])", "11", "fail"),
    ("Mbpp/6", "check_str(s)", [["ab"], ["x"]], 0, "s if 'a' in s else None", "'a' in s", "pass"),
    ("Mbpp/6", "check_str(s)", [["ab"], ["x"]], 0, "s if 'a' in s else None", "True", "fail"),
    ("HumanEval/32", "find_zero(xs)", [[[1, 2]]], 1e-4, "-0.5", "-0.50001", "pass"),
    ("HumanEval/32", "find_zero(xs)", [[[1, 2]]], 1e-4, "-0.5", "-0.6", "fail"),
    # The rules of MBPP are not HumanEval's.
    ("HumanEval/7", "sum_div(n)", [[8]], 0, "n - 1", "0", "fail"),
    ("X/1", "f(x)", [[1.0]], 0, "[[x / 3]]", "[[round(x / 3, 9)]]", "fail"),
    # A float answer before brings the tolerance for all that follow.
    (
        "X/2",
        "f(x)",
        [[2.0], [1.0]],
        0,
        "2 / 3 if x > 1 else [[1 / 3]]",
        "2 / 3 if x > 1 else [[0.333333333]]",
        "pass",
    ),
    ("X/3", "f(x)", [[1]], 0, "float('nan')", "float('nan')", "fail"),
    ("X/4", "f(x)", [[1]], 0, "[1.0, float('inf')]", "[1 + 1e-9, float('inf')]", "pass"),
    ("X/4", "f(x)", [[1]], 0, "[1.0, float('inf')]", "[1.0, 1e308]", "fail"),
    ("X/4", "f(x)", [[1]], 0, "[1.0, 2.0]", "(1.0, 2.0)", "fail"),
    ("X/4", "f(x)", [[1]], 0, "[1.0, 2.0]", "[1.0]", "fail"),
    ("X/5", "f(x)", [[1]], 1e-3, "'a'", "'b'", "fail"),
    ("X/5", "f(x)", [[1]], 1e-3, "{1: 0.1}", "{1: 0.10001}", "fail"),
    ("X/6", "f(x)", [[1]], 0, "1.0", "True", "pass"),
    ("X/6", "f(x)", [[1]], 0, "1.0", "1.00000001", "pass"),
    ("X/6", "f(x)", [[1]], 0, "1.0", "1.00001", "fail"),
    ("X/6", "f(x)", [[1]], 0, "1.0", "'1'", "fail"),
    ("X/8", "sum(a, b)", [[2, 3]], 0, "a * b", "b * a", "pass"),
    ("X/8", "sum(a, b)", [[2, 3]], 0, "a * b", "b + a", "fail"),
    ("X/7", "f(x)", [[1]], 0, "1e9", "1e9 + 50", "pass"),
    ("X/7", "f(x)", [[1]], 0, "1e9", "1e9 + 150", "fail"),
]


def test_programs_are_judged_as_evalplus_does(sandbox: Sandbox) -> None:
    jobs = []
    for task, head, inputs, atol, reference, body, _ in CASES:
        row = {
            "task_id": task,
            "prompt": f"def {head}:\n",
            "entry_point": head.split("(")[0],
            "canonical_solution": f"    return {reference}\n",
            "base_input": inputs[:1],
            "plus_input": inputs[1:],
            "atol": atol,
        }
        jobs.append(formats.job(row, {"solution": f"def {head}:\n    return {body}\n"}))
    found = [verdict.verdict for verdict in sandbox.run(jobs)]
    wrong = [(case, got) for case, got in zip(CASES, found, strict=True) if got != case[-1]]
    assert not wrong


@pytest.mark.parametrize("inputs", [[3], [{"a": 1}]])
def test_inputs_that_are_no_arguments_are_refused(inputs: list[object]) -> None:
    row = {"task_id": "X/1", "prompt": "", "canonical_solution": "", "entry_point": "f"}
    with pytest.raises(SeedbedError, match="no lists of arguments"):
        formats.task({**row, "base_input": inputs})
