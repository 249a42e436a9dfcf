"""Tests that cannot judge a program's language: the verdict is `unsupported`, and nothing stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rl.problems import problem_set
from rl.rollouts import reference_check
from seedbed.sandbox import Sandbox, formats
from seedbed.sandbox.__main__ import main
from seedbed.sandbox.languages import LANGUAGES, installed
from seedbed.sandbox.languages.language import MissingTool
from tests.seedbed.sandbox.formats import rows

MBPP: dict[str, Any] = {"task_id": "m", "prompt": "Double.", "test_list": ["assert f(2) == 4"]}
SOURCE: dict[str, Any] = {
    "task_id": "s",
    "prompt": "int f(int x) {\n",
    "tests": "}\nint main() { assert(f(2) == 4); }\n",
    "stop_tokens": ["\n}"],
    "language": "cpp",
}
CALLS = {**rows.STDIO, "fn_name": "f", "inputs": [[2]], "outputs": [4]}
VERIFIABLE = {
    **rows.VERIFIABLE,
    "verification_info": {
        "language": "rust",
        "test_cases": [{"fn_name": "f", "input": [1], "output": [2], "type": "function_call"}],
    },
}


@pytest.mark.parametrize(
    ("row", "sample", "said"),
    [
        ({**MBPP, "language": "java"}, {}, "tests in Python cannot judge Java"),
        (MBPP, {"language": "C++"}, "tests in Python cannot judge C++"),
        ({**CALLS, "language": "rs"}, {}, "tests in Python cannot judge Rust"),
        (VERIFIABLE, {}, "tests in Python cannot judge Rust"),
        ({**rows.APPS, "language": "Haskell"}, {}, "Haskell is not judged here, but python, c, "),
        (rows.STDIO, {"language": "cobol"}, "cobol is not judged here"),
        ({**SOURCE, "language": "lua"}, {}, "lua is not judged here"),
        ({**SOURCE, "language": "python"}, {}, "source cannot judge Python"),
        (SOURCE, {"language": "java"}, "tests in C++ cannot judge Java"),
        (SOURCE, {"language": "python"}, "tests in C++ cannot judge Python"),
    ],
)
def test_a_language_that_the_tests_cannot_judge_is_unsupported(
    polyglot: Sandbox, row: dict[str, Any], sample: dict[str, Any], said: str
) -> None:
    job = formats.job({**row, "task_id": "t"}, {"completion": "def f(x):\n    return 4", **sample})
    [verdict] = polyglot.run([job])
    assert (verdict.verdict, said in verdict.reason) == ("unsupported", True), verdict.reason


def test_a_language_by_cases_of_stdin_is_judged_in_every_form() -> None:
    for row in (rows.APPS, rows.CODECONTESTS, rows.CODEFORCES, rows.LCB_STDIN):
        asked = formats.task({**row, "task_id": "t", "language": "C++"})
        assert asked.tests.language == "cpp"  # type: ignore[union-attr]
    info = {**json.loads(rows.VERIFIABLE["verification_info"]), "language": "cpp"}
    asked = formats.task({**rows.VERIFIABLE, "verification_info": info})
    assert asked.tests.language == "cpp"  # type: ignore[union-attr]


def test_a_file_of_such_rows_stops_nothing_and_the_verdicts_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [{**MBPP, "task_id": n, "language": "java"} for n in range(12)]
    samples = [{"task_id": n, "completion": "class A {}"} for n in range(12)]
    files = []
    for name, found in (("problems", many), ("samples", samples)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in found))
        files.append(f"{name}={tmp_path / name}")
    assert main(["run", *files, f"out={tmp_path / 'v'}", "workers=1"]) == 0
    assert "unsupported          12" in capsys.readouterr().out


def test_they_are_found_before_the_first_step_with_and_without_a_solution(
    polyglot: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = MissingTool("g++ is not installed: apt")
    monkeypatch.setitem(installed._found, "cpp", missing)
    given = [
        {**MBPP, "task_id": "good", "code": "def f(x): return 2 * x"},
        {**MBPP, "task_id": "java", "language": "java", "code": "class A {}"},
        {**SOURCE, "task_id": "lua", "language": "lua"},
        {**SOURCE, "task_id": "cpp"},
    ]
    read = [(row, problem_set.parse(row)) for row in given]
    found = reference_check.unfit(read, polyglot, tmp_path / "unfit.json", {})
    assert found == {
        "java": "it cannot be judged: unsupported: tests in Python cannot judge Java",
        "lua": "it cannot be judged: unsupported: lua is not judged here, but python, "
        + ", ".join(LANGUAGES),
        "cpp": f"it cannot be judged: infrastructure: C++: {missing}",
    }
    assert json.loads((tmp_path / "unfit.json").read_text())["unfit"] == found
