"""CRUXEval: `code` defines f, and `input` and `output` are one call of it.

A model predicts the output, or an input that gives the output. The same row serves both, so the
second is asked for by name.
"""

from __future__ import annotations

import ast

from conf.errors import SeedbedError
from seedbed.sandbox import python_source
from seedbed.sandbox.checks import predicted
from seedbed.sandbox.formats.fields import Row, text
from seedbed.sandbox.formats.form import Form, Task, has

_OUTPUT = """What does the last line need in place of ???? to be a true assertion? Answer with the
value alone, as a Python literal in a code block.

```python
{code}
assert f({input}) == ????
```"""
_INPUT = """With which arguments in place of ???? is the last line a true assertion? Any right ones
will do. Answer with the call alone, like f(1, 2), in a code block.

```python
{code}
assert f(????) == {output}
```"""


def _predicts_output(row: Row) -> Task:
    code, given, wanted = _parts(row)
    prompt = _OUTPUT.format(code=code.strip(), input=given)
    return Task(prompt, predicted.output(wanted), wanted)


def _predicts_input(row: Row) -> Task:
    code, given, wanted = _parts(row)
    prompt = _INPUT.format(code=code.strip(), output=wanted)
    return Task(prompt, predicted.arguments(code, wanted), f"f({given})")


def _parts(row: Row) -> tuple[str, str, str]:
    parts = text(row, "code"), text(row, "input"), text(row, "output")
    try:
        ast.parse(parts[0])
        ast.parse(f"f({parts[1]})", mode="eval")
        ast.parse(parts[2].strip(), mode="eval")
    except python_source.NOT_PYTHON as error:
        raise SeedbedError(
            f"Problem {row['task_id']!r} has code, input or output that is not Python ({error}).",
            "Give `code` that defines f, and Python values.",
        ) from None
    return parts


OUTPUT = Form("cruxeval-output", has("code", "input", "output"), _predicts_output, ("id",))
# No row says that it asks for an input.
INPUT = Form("cruxeval-input", lambda row: False, _predicts_input, ("id",))
