"""LeetCodeDataset: `entry_point` like Solution().twoSum, `test` with check(candidate).

`query` holds the question, `prompt` the imports and helpers, `completion` the solution.
"""

from __future__ import annotations

from conf.errors import SeedbedError
from seedbed.sandbox.checks import leetcode
from seedbed.sandbox.formats.fields import Row, text, words
from seedbed.sandbox.formats.form import Form, Task
from seedbed.sandbox.formats.livecodebench import asked


def task(row: Row) -> Task:
    """The task of a row. The program follows the prompt's imports."""
    entry = text(row, "entry_point")
    if not all(part.isidentifier() for part in entry.split("().")) or entry.count("().") > 1:
        raise SeedbedError(
            f"Problem {row['task_id']!r} has entry_point = {entry!r:.80}.",
            "Give a method like Solution().twoSum.",
        )
    try:
        tests = leetcode.class_calls(text(row, "test"), words(row, "prompt"), entry)
    except (SyntaxError, ValueError) as error:
        raise SeedbedError(
            f"Problem {row['task_id']!r} has a prompt that is not Python ({error}).",
            "Give the imports and helpers of the program in `prompt`.",
        ) from None
    named = {**row, "prompt": words(row, "query", "question", "problem_description")}
    date = words(row, "estimated_date")[:10]
    return Task(asked(named), tests, words(row, "canonical_solution", "completion"), date=date)


def _fits(row: Row) -> bool:
    return "test" in row and "()." in str(row.get("entry_point"))


FORM = Form("leetcode", _fits, task, ("question_id",))
