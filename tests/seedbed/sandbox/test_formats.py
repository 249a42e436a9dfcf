from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from seedbed.sandbox import CallTests, Sandbox, StdioTests, formats

HUMANEVAL = {
    "task_id": "T/1",
    "prompt": 'import math\n\ndef twice(x):\n    return 2 * x\n\ndef f(x):\n    """4 x"""\n',
    "entry_point": "f",
    "test": "def check(candidate):\n"
    "    assert candidate(3) == twice(twice(3)) == math.floor(12.5)\n",
}
MBPP = {
    "task_id": 7,
    "test_list": ["assert sum(2, 3) == 6", "assert size(()) == sys.getsizeof(())"],
    "test_setup_code": "",
    "code": "import sys\r\ndef sum(a, b): return a * b\r\ndef size(t): return sys.getsizeof(t)",
}
EVALPLUS = {
    "task_id": "E/1",
    "prompt": "def half(x):\n",
    "entry_point": "half",
    "canonical_solution": "    return [v / 3 for v in x] if isinstance(x, list) else x // 2\n",
    "base_input": [[4], [7]],
    "plus_input": [[[1.0, 2.0]]],
    "atol": 0,
    "test": "def check(half):\n    assert half(4) == 2\n",
}
CODEIO = {
    "task_id": "C/1",
    "code_sample": "def main_solution(xs, k):\n"
    "    return {'top': tuple(sorted(xs)[-k:]), 'mean': sum(xs) / len(xs)}\n",
    "input_generator": "def generate_inputs(rng: Random) -> dict:\n"
    "    xs = [rng.uniform(0, 9) for _ in range(rng.randint(0, 9))]\n"
    "    return {'xs': xs, 'k': rng.randint(1, 3)}\n",
    "cases": 20,
}
CODEIO_MEAN = "    return {'mean': sum(x / len(xs) for x in xs), 'top': sorted(xs)[-k:]}"
STDIO = {"task_id": "io", "inputs": ["1\n", "2\n"], "outputs": ["1\n", "2\n"]}


@pytest.mark.parametrize(
    ("problem", "sample", "outcome"),
    [
        (EVALPLUS, {"completion": EVALPLUS["canonical_solution"]}, "pass"),
        (
            EVALPLUS,
            {"completion": EVALPLUS["canonical_solution"].replace("v / 3", "v * (1 / 3)")},
            "pass",
        ),
        (
            EVALPLUS,
            {"completion": EVALPLUS["canonical_solution"].replace("v / 3", "v / 3.001")},
            "fail",
        ),
        (EVALPLUS, {"completion": "    return x // 2\n"}, "error"),
        (EVALPLUS, {"completion": "    return 2\n"}, "fail"),
        (HUMANEVAL, {"completion": "    return 4 * x\n"}, "pass"),
        (HUMANEVAL, {"completion": "    return 5 * x\n"}, "fail"),
        (HUMANEVAL, {"completion": "    return twice(twice(x))\n"}, "pass"),
        (
            HUMANEVAL,
            {"completion": "    return 9\ndef twice(x): return 4.5 if x == 3 else 9\n"},
            "fail",
        ),
        (HUMANEVAL, {"solution": "def f(x): return 4 * x"}, "pass"),
        (MBPP, {"completion": MBPP["code"]}, "pass"),
        (MBPP, {"completion": "def sum(a, b): return 0\ndef size(t): return 0"}, "fail"),
        (
            MBPP,
            {
                "completion": "class sys:\n    getsizeof = len\ndef sum(a, b): return 6\n"
                "def size(t): return 0"
            },
            "fail",
        ),
        (CODEIO, {"completion": CODEIO["code_sample"]}, "pass"),
        (CODEIO, {"completion": f"def main_solution(xs, k):\n{CODEIO_MEAN}"}, "pass"),
        (
            CODEIO,
            {"completion": f"def main_solution(xs, k):\n{CODEIO_MEAN.replace('-k:', ':k')}"},
            "fail",
        ),
        (
            CODEIO,
            {
                "completion": "def main_solution(xs, k):\n"
                f"{CODEIO_MEAN.replace('sum(', '1.00001 * sum(')}"
            },
            "fail",
        ),
        (
            CODEIO,
            {
                "completion": "def main_solution(xs, k):\n"
                "    return {'top': True, 'mean': float('nan')}"
            },
            "fail",
        ),
        (CODEIO, {"completion": "def main_solution(xs, k):\n    return 1 / 0"}, "error"),
        (
            {**CODEIO, "code_sample": "def main_solution(xs, k): return 1 / 0"},
            {"completion": ""},
            "infrastructure",
        ),
        (STDIO, {"completion": "print(input())"}, "pass"),
        (STDIO, {"solution": "print(1)"}, "fail"),
    ],
)
def test_a_sample_of_each_format_is_judged(
    sandbox: Sandbox, problem: formats.Row, sample: formats.Row, outcome: str
) -> None:
    (verdict,) = sandbox.run([formats.job(problem, sample)])
    assert verdict.verdict == outcome, verdict
    assert verdict.task_id == problem["task_id"]


def test_the_formats_are_told_apart_by_their_fields() -> None:
    assert isinstance(formats.tests(HUMANEVAL), CallTests)
    assert formats.tests(STDIO) == StdioTests(("1\n", "2\n"), ("1\n", "2\n"))
    tests = formats.tests(MBPP)
    assert isinstance(tests, CallTests)
    assert tests.names == ("sum",)
    assert tests.setup == "import sys\n"


@pytest.mark.parametrize(
    ("problem", "sample", "said"),
    [
        ({"task_id": 1, "question": "?"}, {"completion": "x"}, "no known format"),
        (STDIO, {"completion": 3}, "completion = 3, not a text"),
        (STDIO, {}, "completion = None, not a text"),
        ({**STDIO, "outputs": ["1"]}, {"completion": ""}, "2 inputs but 1 outputs"),
        ({**STDIO, "inputs": "1"}, {"completion": ""}, "inputs that is not a list of texts"),
        ({**CODEIO, "cases": 0}, {"completion": ""}, "has cases = 0"),
        ({**CODEIO, "seed": "x"}, {"completion": ""}, "seed = 'x'"),
        ({**CODEIO, "input_generator": 3}, {"completion": ""}, "input_generator = 3, not a text"),
        ({**CODEIO, "entry_point": "f(); g"}, {"completion": ""}, "entry_point = 'f"),
        ({**HUMANEVAL, "test": None}, {"completion": ""}, "test = None, not a text"),
    ],
)
def test_a_row_that_cannot_be_judged_is_named(
    problem: formats.Row, sample: formats.Row, said: str
) -> None:
    with pytest.raises(SeedbedError, match=said):
        formats.job(problem, sample)
