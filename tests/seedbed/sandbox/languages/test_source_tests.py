"""MultiPL-E's form: tests below the program. No wrong program passes them sealed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conf.errors import SeedbedError
from seedbed.sandbox import Sandbox, Verdict, formats
from seedbed.sandbox.formats.multipl_e import cut
from seedbed.sandbox.languages import by_any_name, sealing
from seedbed.sandbox.languages.sealing.calls import Case, cases, closing
from seedbed.sandbox.verdict import SourceTests

LINES = (Path(__file__).parent / "rows.jsonl").read_text().splitlines()
ROWS: dict[str, Any] = {row["language"]: row for row in map(json.loads, LINES)}
each_row = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == "js" else pytest.mark.slow) for n in ROWS]
)
# Bodies that leave before the tests, or say what they guess.
EARLY = {
    "cpp": "    exit(0);",
    "java": "        System.exit(0);\n        return null;\n",
    "js": "  process.exit(0);\n}\n",
    "ts": "  (globalThis as any).process.exit(0);\n  return [];\n}\n",
    "go_test.go": "    panic(recover())\n}\n",
    "rs": "    std::process::exit(0)",
}


def judged(sandbox: Sandbox, row: dict[str, Any], completion: str) -> Verdict:
    return sandbox.run([formats.job(row, {"completion": completion})])[0]


def parsed(row: dict[str, Any]) -> SourceTests:
    found = formats.tests(row)
    assert isinstance(found, SourceTests)
    return found


@each_row
def test_right_passes_wrong_fails_and_an_early_exit_fails(
    polyglot: Sandbox, needs: Callable[[str], None], name: str
) -> None:
    row, language = ROWS[name], by_any_name(name)
    assert language is not None
    needs(language.name)
    right = judged(polyglot, row, row["right"])
    assert (right.verdict, right.weakened) == ("pass", ""), right
    for old, new in (("2 *", "3 *"), ("2*x", "3*x"), ("2.0 *", "3.0 *")):
        if old in row["right"]:
            wrong = judged(polyglot, row, row["right"].replace(old, new))
            assert (wrong.verdict, wrong.weakened) == ("fail", ""), wrong
    early = judged(polyglot, row, EARLY[name])
    assert early.verdict in ("fail", "error"), early


@each_row
def test_tests_of_another_form_run_in_the_programs_process_and_say_so(
    polyglot: Sandbox, needs: Callable[[str], None], name: str
) -> None:
    row, language = dict(ROWS[name]), by_any_name(name)
    assert language is not None
    needs(language.name)
    row["tests"] = row["tests"].replace("candidate", "asked")
    if name == "java":
        row["tests"] = row["tests"].replace("assert(", "assert (")
    assert sealing.seal(language.name, row["prompt"], row["tests"]) is None
    right = judged(polyglot, row, row["right"])
    assert (right.verdict, right.weakened) == ("pass", "in-process-tests"), right
    for old, new in (("2 *", "3 *"), ("2*x", "3*x"), ("2.0 *", "3.0 *")):
        if old in row["right"]:
            assert judged(polyglot, row, row["right"].replace(old, new)).verdict != "pass"
    early = judged(polyglot, row, EARLY[name])
    assert early.verdict in ("fail", "error"), early
    assert early.weakened == "in-process-tests"


@pytest.mark.parametrize("name", ROWS)
def test_the_program_gets_the_arguments_and_no_expected_value(name: str) -> None:
    tests = parsed({**ROWS[name], "tests": ROWS[name]["tests"].replace("6.5", "6.578125")})
    sealed = sealing.seal(tests.language, tests.prompt, tests.code)
    assert sealed is not None
    assert sealed.calls == 3
    assert "6.578125" not in sealed.answers
    assert "3.25" in sealed.answers
    judge = sealed.expected or (sealed.judge(["1", "2", "3"]) if sealed.judge else "")
    assert "6.578125" in judge


FORGED = {
    # Equality, assert and the printer are the program's to replace. None of them is asked.
    "cpp": [
        "    return {};\n}\nbool operator==(std::vector<float> a, std::vector<float> b) "
        "{ return true; }\n#define assert(x) ((void)0)\nint more() {\n",
        '    static int n = 0;\n    puts("\\n\\x01[8,]");\n    return {};\n',
        '    puts("\\n\\x01[8,]\\n\\x01[6.5,1,]\\n\\x01[]"); fflush(stdout); _exit(0);\n',
    ],
    "js": [
        "  return [];\n}\nrequire('node:assert').deepEqual = () => 0;\n",
        "  return new Proxy([], { get: () => 8 });\n}\n",
        "  return { get length() { return 1; }, 0: 8, toString: () => '8' };\n}\n",
        "  console.log('\\n\\x01null'); return [];\n}\n",
        '  return undefined;\n}\nJSON.stringify = () => \'["a",[["n","8"]]]\';\n',
    ],
    "rs": ["    vec![8.0]"],
    "java": [
        "        return new ArrayList<>() { public boolean equals(Object o) { return true; } };"
    ],
    "go_test.go": ["    return nil\n}\n"],
    "ts": ["  return [];\n}\nconst test = () => 0;\n"],
}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        pytest.param(
            name, body, id=f"{name}-{place}", marks=() if name == "js" else pytest.mark.slow
        )
        for name, bodies in FORGED.items()
        for place, body in enumerate(bodies)
    ],
)
def test_a_program_that_changes_what_equals_means_does_not_pass(
    polyglot: Sandbox, needs: Callable[[str], None], name: str, body: str
) -> None:
    language = by_any_name(name)
    assert language is not None
    needs(language.name)
    row = {**ROWS[name], "stop_tokens": []}
    found = judged(polyglot, row, body)
    assert found.verdict in ("fail", "error"), found


def test_a_completion_ends_where_the_first_stop_begins() -> None:
    assert cut("a\n}\nb\nclass C", ("\nclass", "\n}", "")) == "a"
    assert cut("whole", ("\n}",)) == "whole"


def test_the_rows_name_is_its_id() -> None:
    job = formats.job(ROWS["rs"], {"completion": "x"})
    assert (job.task_id, job.spoken) == ("Own_0_above_rs", "rust")
    assert replace(job, language="go").spoken == "go"


def test_a_sample_by_stdin_may_be_in_another_language_than_its_problem() -> None:
    problem = {"task_id": "p", "inputs": ["1"], "outputs": ["1"], "code": "print(input())"}
    assert formats.job(problem, {"completion": "", "language": "C++"}).spoken == "cpp"
    assert formats.job(problem, {"completion": ""}).spoken == "python"
    assert formats.job({**problem, "language": "golang"}, {"completion": ""}).spoken == "go"
    with pytest.raises(SeedbedError, match="names the language 7"):
        formats.job(problem, {"completion": "", "language": 7})


def test_cases_are_found_by_their_brackets() -> None:
    text = "assert(f(')', [\"](\"], 'a') == (g(1)));\nassert(f(x) == 2);\n"
    assert cases(text, r"assert\(f\(", " == ", r"\);\s*$") == [
        Case("')', [\"](\"], 'a'", "(g(1))"),
        Case("x", "2"),
    ]
    assert cases("assert(f(1) != 2);", r"assert\(f\(", " == ", r"\);\s*$") == []
    assert closing("(a", 0) == -1
    # A lifetime is no quote.
    assert closing("(&'a str, 'b')", 0) == 13


def test_an_answer_that_never_came_is_not_undefined(
    polyglot: Sandbox, needs: Callable[[str], None]
) -> None:
    needs("javascript")
    lines = ROWS["js"]["tests"].splitlines(keepends=True)
    kept = [line for line in lines if "deepEqual" not in line]
    at = next(n for n, line in enumerate(kept) if "candidate = above" in line) + 1
    kept.insert(at, "  assert.deepEqual(candidate([1.5], 0.5),undefined);\n")
    row = {**ROWS["js"], "tests": "".join(kept)}
    assert judged(polyglot, row, "  return undefined;\n}\n").verdict == "pass"
    assert judged(polyglot, row, EARLY["js"]).verdict == "fail"
