from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from seedbed.sandbox import Sandbox, StdioTests, formats
from tests.seedbed.sandbox.formats import rows
from tests.seedbed.sandbox.formats.rows import Row


@pytest.mark.parametrize(("form", "row", "program", "outcome"), rows.SAMPLES)
def test_a_row_of_each_data_set_judges_right_and_wrong_programs(
    sandbox: Sandbox, form: str, row: Row, program: str, outcome: str
) -> None:
    named = {**row, "format": form} if form == "cruxeval-input" else row
    assert formats.form(named).name == form
    (verdict,) = sandbox.run([formats.job(named, {"solution": program})])
    assert verdict.verdict == outcome, verdict


def test_a_name_overrides_what_the_fields_tell() -> None:
    assert formats.form({**rows.STDIO, "format": "codecontests"}).name == "codecontests"
    # A data set may have a field of this name for other ends.
    assert formats.form({**rows.STDIO, "format": "markdown"}).name == "stdio"


def test_a_program_keeps_its_line_numbers_behind_the_imports(sandbox: Sandbox) -> None:
    program = "from __future__ import annotations\n\ndef last(s):\n    return s[9]\n"
    (verdict,) = sandbox.run([formats.job(rows.DEEPCODER, {"solution": program})])
    assert verdict.reason.startswith("IndexError: string index out of range (program line 4)")


def test_limits_come_from_the_row_in_its_unit() -> None:
    taco = formats.tests(rows.TACO).limits
    assert (taco.cpu_seconds, taco.memory_bytes) == (2.0, 256 << 20)
    contests = formats.tests(rows.CODECONTESTS).limits
    assert (contests.cpu_seconds, contests.memory_bytes) == (2.5, 256_000_000)
    assert formats.tests({**rows.STDIO, "time_limit_ms": 1500}).limits.cpu_seconds == 1.5
    assert formats.tests({**rows.STDIO, "time_limit": "750 ms"}).limits.cpu_seconds == 0.75
    assert formats.tests({**rows.STDIO, "memory_limit": "2 GB"}).limits.memory_bytes == 2 << 30
    assert formats.tests({**rows.STDIO, "time_limit": None}).limits.cpu_seconds == 0


def test_a_rows_own_limit_stops_a_program(sandbox: Sandbox) -> None:
    job = formats.job({**rows.STDIO, "time_limit": 0.3}, {"solution": "while True: pass"})
    (verdict,) = sandbox.run([job])
    assert (verdict.verdict, verdict.cpu_limit_seconds) == ("timeout", 0.3)
    hungry = {"solution": "x = bytearray(200 << 20)\nprint(input())"}
    (verdict,) = sandbox.run([formats.job({**rows.STDIO, "memory_limit": 64}, hungry)])
    assert verdict.verdict == "memory"
    (verdict,) = sandbox.run([formats.job(rows.STDIO, hungry)])
    assert verdict.verdict == "pass"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**rows.STDIO, "time_limit": 2000}, "time_limit = 2000"),
        ({**rows.STDIO, "time_limit": "soon"}, "time_limit = 'soon'"),
        ({**rows.STDIO, "memory_limit": -1}, "memory_limit = -1"),
        ({**rows.STDIO, "checker": "#include <testlib.h>"}, "checker that is not Python"),
        ({**rows.LCB_CALL, "checker": "def check(i, o, a): return True"}, "has a checker"),
        ({**rows.STDIO, "comparison": "close"}, "comparison = 'close'"),
        ({**rows.STDIO, "test_imports": ["import x"]}, "test_imports = "),
        ({**rows.CODEFORCES, "interaction_format": "Ask."}, "interaction_format = 'Ask.'"),
        ({**rows.CODEFORCES, "input_mode": "file"}, "input_mode = 'file'"),
        ({**rows.CODECONTESTS, "input_file": "a.in"}, "input_file = 'a.in'"),
        ({**rows.CODECONTESTS, "fn_name": "f"}, "fn_name = 'f'"),
        ({**rows.STDIO, "inputs": [], "outputs": []}, "has no cases"),
        ({**rows.STDIO, "inputs": [{"a": 1}]}, "is no text for stdin"),
        ({**rows.STDIO, "fn_name": "f g"}, "fn_name = 'f g'"),
        ({**rows.LCB_CALL, "metadata": "{}"}, "no func_name"),
        (
            {**rows.LCB_STDIN, "private_test_cases": "eJw="},
            "private_test_cases that cannot",
        ),
        ({**rows.APPS, "input_output": "{"}, "not JSON"),
        ({**rows.APPS, "input_output": ""}, "not JSON"),
        ({**rows.EURUS, "reward_model": {"ground_truth": "42"}}, "no code tests"),
        ({**rows.VERIFIABLE, "verification_info": {"language": "cpp"}}, "without test_cases"),
        ({**rows.LEETCODE, "prompt": "class"}, "prompt that is not Python"),
        ({**rows.CRUXEVAL, "output": "["}, "not Python"),
        ({**rows.MBPP_PLUS, "test_imports": "import math"}, "test_imports that is not a list"),
        ({"task_id": 1, "test_list": None}, "test_list that is not a list"),
        (
            {"base_input": 3, "entry_point": "f", "prompt": "", "canonical_solution": ""},
            "TypeError",
        ),
    ],
)
def test_a_row_that_cannot_be_judged_as_it_asks_is_refused(row: Row, said: str) -> None:
    with pytest.raises(SeedbedError, match=said):
        formats.task(row)


def test_a_rule_is_that_of_the_data_set() -> None:
    rules = {}
    for row in (rows.LCB_STDIN, rows.APPS, rows.CODECONTESTS, rows.CODEFORCES, rows.STDIO):
        found = formats.tests(row)
        assert isinstance(found, StdioTests)
        rules[formats.form(row).name] = found.rule
    assert rules == {
        "livecodebench": "decimals",
        "apps": "lines",
        "codecontests": "words",
        "open-r1-codeforces": "tokens",
        "stdio": "lines",
    }


def test_a_prompt_asks_in_the_rows_words_and_names_the_function() -> None:
    asked = formats.task(rows.LCB_CALL)
    assert asked.prompt.startswith("Return the numbers")
    assert "def above(self" in asked.prompt
    assert asked.date == "2025-03-01"
    assert formats.task(rows.EURUS).prompt == "Print the square."
    assert formats.task(rows.LEETCODE).prompt.startswith("Turn a linked list around.")
    assert formats.task(rows.BIGCODEBENCH).prompt == "Give n random digits."
    assert formats.task(rows.MBPP_PLUS).prompt.endswith("assert evens([1, 2]) == (2,)")
    named = {**rows.MBPP_PLUS, "prompt": "Write evens(xs) that gives the evens."}
    assert formats.task(named).prompt == named["prompt"]
    assert "Input\n\nn" in formats.task(rows.CODEFORCES).prompt
    assert "assert f('bark', 3) == ????" in formats.task(rows.CRUXEVAL).prompt
    assert "'BAR'" not in formats.task(rows.CRUXEVAL).prompt


def test_the_reference_of_each_row_that_has_one_passes(sandbox: Sandbox) -> None:
    given = [rows.LEETCODE, rows.BIGCODEBENCH, rows.CRUXEVAL, rows.HUMANEVAL_PLUS, rows.MBPP_PLUS]
    given.append({**rows.CRUXEVAL, "format": "cruxeval-input"})
    jobs = [formats.job(row, {"solution": formats.reference(row)}) for row in given]
    assert all(job.reference for job in jobs)
    assert [verdict.verdict for verdict in sandbox.run(jobs)] == ["pass"] * len(jobs)
