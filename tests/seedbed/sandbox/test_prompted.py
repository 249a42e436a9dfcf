"""Programs of problems whose prompt begins a program: rests, whole functions, bodies alone."""

from __future__ import annotations

import pytest

from seedbed.sandbox import formats
from seedbed.sandbox.prompted import joined, preamble, whole, with_preamble

PROMPT = """from math import floor


def half(x):
    return floor(x / 2)


@staticmethod
def f(x: int) -> int:
    \"\"\"Half of x, and one.\"\"\"
"""
OPEN = "import math\n\ndef f(x):\n"
FUNCTION = "def f(x):\n    return half(x) + 1\n"


@pytest.mark.parametrize(
    "program",
    [
        "    return half(x) + 1\n",
        "return half(x) + 1\n",
        "y = half(x)\nif y:\n    return y + 1\nreturn 1\n",
        FUNCTION,
        f"from __future__ import annotations\nimport os\n\n{FUNCTION}",
        "f = lambda x: half(x) + 1\n",
        f"{PROMPT}    return half(x) + 1\n",
        f"{PROMPT}    return None\n\n{FUNCTION}",
    ],
)
def test_imports_and_helpers_of_the_prompt_hold_for_every_answer(program):
    scope: dict = {}
    exec(compile(whole(PROMPT, ["f"], program), "<program>", "exec"), scope)
    assert scope["f"](4) == 3


def test_the_last_function_of_the_prompt_is_meant_where_none_is_named():
    assert whole(PROMPT, (), FUNCTION) == whole(PROMPT, ["f"], FUNCTION)


def test_what_stands_besides_the_function_is_kept_also_where_the_prompt_ends_within_it():
    assert "def half" in preamble(PROMPT, ["f"])
    assert "Half of x" not in preamble(PROMPT, ["f"])
    assert "@staticmethod" not in preamble(PROMPT, ["f"])
    assert preamble(OPEN, ["f"]) == "import math\n\n"
    assert preamble(PROMPT, ["g"]) == PROMPT


def test_a_rest_is_put_behind_the_prompt_as_it_is():
    assert whole(OPEN, ["f"], "    return (\n") == OPEN + "    return (\n"
    assert whole("def f(x): return ", ["f"], "x + 1") == "def f(x): return x + 1"
    assert whole(OPEN, ["f"], "") == OPEN


def test_a_function_with_an_error_in_it_is_no_rest_and_keeps_its_lines():
    broken = "def f(x)\n    return x\n"
    assert whole(OPEN, ["f"], broken) == broken
    assert with_preamble(OPEN, broken) == broken


def test_imports_from_the_future_stand_before_all():
    parts = ["import os\n", "from __future__ import annotations\nx = 1\n"]
    text = joined(parts)
    assert text.startswith("from __future__ import annotations\n")
    compile(text, "<program>", "exec")


def test_a_solution_of_a_sample_has_what_its_problems_prompt_imports():
    problem = {"task_id": "h", "prompt": PROMPT, "entry_point": "f", "test": "def check(c): pass\n"}
    program = formats.job(problem, {"task_id": "h", "solution": FUNCTION}).program
    assert program.startswith("from math import floor")
    assert program.endswith(FUNCTION)
    other = {"task_id": "m", "text": "t", "test_list": ["assert f(1) == 1"]}
    assert formats.job(other, {"task_id": "m", "solution": FUNCTION}).program == FUNCTION


def test_a_program_that_begins_with_the_prompt_stays_as_it_is_also_where_it_does_not_parse():
    prompt = "class S:\n    def f(self):\n"
    for rest in ("        return 1\n", "        return (\n"):
        assert whole(prompt, ["S"], prompt + rest) == prompt + rest
