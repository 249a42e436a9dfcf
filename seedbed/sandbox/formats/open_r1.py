"""open-r1's two data sets: `codeforces` and the verifiable coding problems.

codeforces: `official_tests` and perhaps `generated_tests`, `generated_checker`, limits in seconds
and megabytes. Outputs without a checker are compared by tokens.

verifiable: `verification_info` with `language` and `test_cases` of {input, output, type, fn_name}.
"""

from __future__ import annotations

from dataclasses import replace

from conf.errors import SeedbedError
from seedbed.sandbox.formats.apps import HONOURS, task_of
from seedbed.sandbox.formats.cases import case_tests
from seedbed.sandbox.formats.fields import Row, parsed, words
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.formats.multipl_e import in_language


def _codeforces(row: Row) -> Task:
    # The data set's own `generated_tests` is a number: those tests are in files of their own.
    parts = [row.get(part) for part in ("official_tests", "generated_tests")]
    cases = [case for part in parts if isinstance(part, list) for case in part]
    if not all(isinstance(case, dict) for case in cases):
        raise SeedbedError(
            f"Problem {row['task_id']!r} has official_tests that are not input and output.",
            "Give a list of {input, output}.",
        )
    pairs = [(case.get("input"), case.get("output")) for case in cases]
    return Task(_statement(row), case_tests(row, pairs, "", rule="tokens"))


def _statement(row: Row) -> str:
    """The prompt, or the statement's parts under headings."""
    if words(row, "prompt"):
        return words(row, "prompt")
    parts = [words(row, "description")]
    for field, heading in (
        ("input_format", "Input"),
        ("output_format", "Output"),
        ("note", "Note"),
    ):
        if words(row, field):
            parts.append(f"{heading}\n\n{words(row, field)}")
    return "\n\n".join(part for part in parts if part)


def _verifiable(row: Row) -> Task:
    info = parsed(row, "verification_info")
    if not isinstance(info, dict) or "test_cases" not in info:
        raise SeedbedError(
            f"Problem {row['task_id']!r} has a verification_info without test_cases.",
            "Give {language, test_cases: [{input, output, type, fn_name}]}.",
        )
    found = task_of(row, info["test_cases"])
    named = {"task_id": row["task_id"], "language": info.get("language")}
    return replace(found, tests=in_language(named, found.tests))


_IDS = ("problem_id", "id", "in_source_id")
CODEFORCES = Form("open-r1-codeforces", has("official_tests"), _codeforces, _IDS)
VERIFIABLE = Form("open-r1-verifiable", has("verification_info"), _verifiable, _IDS, HONOURS)
