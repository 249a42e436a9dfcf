"""codeio of reasoning-gym (data/codeio.jsonl.gz): a reference and a generator of inputs."""

from __future__ import annotations

from conf.errors import SeedbedError
from seedbed.sandbox.checks import generated
from seedbed.sandbox.formats.fields import Row, function_name, text, words
from seedbed.sandbox.formats.form import Form, Task, has

# Inputs that are drawn from a generator, where a row does not give a number.
GENERATED_CASES = 16


def task(row: Row) -> Task:
    """The task of a row.

    `code_sample` defines the function, and `input_generator` defines generate_inputs(rng). The
    fields `entry_point`, `cases` and `seed` are ours and optional.
    """
    entry = function_name(row, "entry_point", "main_solution")
    cases, seed = row.get("cases", GENERATED_CASES), row.get("seed", 0)
    if type(cases) is not int or type(seed) is not int or cases < 1:
        raise SeedbedError(
            f"Problem {row['task_id']!r} has cases = {cases!r:.40} and seed = {seed!r:.40}.",
            "Give whole numbers, cases above 0.",
        )
    reference, generator = text(row, "code_sample"), text(row, "input_generator")
    tests = generated.differential(reference, generator, entry, cases, seed)
    return Task(words(row, "prompt", "text"), tests, reference)


FORM = Form("codeio", has("input_generator"), task)
