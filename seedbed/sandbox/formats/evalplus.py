"""HumanEval+ of EvalPlus: `base_input` and `plus_input`, judged against the reference."""

from __future__ import annotations

from seedbed.sandbox import differential
from seedbed.sandbox.formats.fields import Row, function_name, text
from seedbed.sandbox.formats.form import Form, Task, has


def task(row: Row) -> Task:
    """Base and plus inputs, each given to the program and to the reference.

    The reference runs in the tester. EvalPlus has special rules in code for a few tasks; these are
    judged by equality here.
    """
    entry, prompt = function_name(row, "entry_point"), text(row, "prompt")
    reference = prompt + text(row, "canonical_solution")
    inputs = [*row["base_input"], *(row.get("plus_input") or [])]
    tests = differential.evalplus(reference, entry, inputs, float(row.get("atol") or 0))
    return Task(prompt, tests, reference, stem=prompt)


FORM = Form("evalplus", has("base_input", "entry_point"), task)
