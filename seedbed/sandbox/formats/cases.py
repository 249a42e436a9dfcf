"""Cases of inputs and outputs, by stdin or by calls of a function, however a row writes them."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from conf.errors import SeedbedError
from seedbed.sandbox.checks import functional
from seedbed.sandbox.formats.fields import Row
from seedbed.sandbox.verdict import CallTests, Rule, StdioTests

# APPS and TACO compare floats by numpy.allclose with its default tolerance (eval/testing_util.py).
CLOSE = 1e-5
# How statements say that several answers are right. A sentence that asks for the smallest, or for
# no extra blanks ("any extra spaces"), says another thing.
_SUCH = r"(?:valid|correct|possible|suitable|such|acceptable|optimal|appropriate)"
_ONES = r"(?:answers?|solutions?|outputs?|ones?|sequences?|permutations?|arrays?|strings?|ways?)"
_PRINT = r"\b(?:print|output|display|find|choose|return|report|give|write|provide|show)\b"
_ANY = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_PRINT}[^.]{{0,60}}\bany\s+(?:one\s+)?of\s+(?:them|these|those|which|the\b)",
        rf"{_PRINT}[^.]{{0,60}}\bany\s+(?:one\s+)?(?:{_SUCH}\b|(?:answer|solution)s?\b)",
        rf"{_PRINT}[^.]{{0,60}}\bin\s+(?:any|arbitrary)\s+order\b",
        rf"\bany\s+(?:of\s+\w+|{_SUCH}|{_ONES})[^.]{{0,40}}\b(?:accepted|acceptable|allowed)\b",
        rf"\b(?:multiple|several|many|more\s+than\s+one)\s+(?:{_SUCH}\s+)*{_ONES}\b"
        r"[^.]{0,60}\b(?:any|arbitrary)\b",
    )
)


def case_tests(
    row: Row,
    pairs: list[tuple[Any, Any]],
    function: str,
    *,
    rule: Rule = "lines",
    prelude: str = "",
) -> CallTests | StdioTests:
    """The tests of pairs (input, output).

    function: the name to call; empty for a program that reads stdin. rule: how stdout is compared.
    prelude: imports before a program that reads stdin.
    """
    if not pairs:
        raise SeedbedError(f"Problem {row['task_id']!r} has no cases.", "Give at least one.")
    if function:
        # LiveCodeBench compares answers exactly.
        close = 0.0 if rule == "decimals" else CLOSE
        return functional.calls(function, _calls(row, pairs), close)
    inputs = tuple(_text(row, given) for given, _ in pairs)
    outputs = tuple(_text(row, wanted) for _, wanted in pairs)
    others = _others(inputs, outputs)
    return StdioTests(inputs, outputs, rule, prelude=prelude, others=others)


def _others(inputs: tuple[str, ...], outputs: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """For each case the other outputs that the row has for the same input, if any case has such.

    A program that reads the same input twice prints the same. So a row that lists one input with
    several outputs says that each of them is right.
    """
    by_input: dict[str, dict[str, None]] = {}
    for given, wanted in zip(inputs, outputs, strict=True):
        by_input.setdefault(given, {})[wanted] = None
    if all(len(found) == 1 for found in by_input.values()):
        return ()
    pairs = zip(inputs, outputs, strict=True)
    return tuple(
        tuple(other for other in by_input[given] if other != wanted) for given, wanted in pairs
    )


def takes_any(statement: str) -> bool:
    """Whether a statement says that any of several answers is right."""
    return any(pattern.search(statement) for pattern in _ANY)


def paired(row: Row, inputs: Any, outputs: Any) -> list[tuple[Any, Any]]:
    """Two lists as pairs. Raises SeedbedError where they are no lists, or of unequal length."""
    for name, value in (("inputs", inputs), ("outputs", outputs)):
        if not isinstance(value, list):
            raise SeedbedError(
                f"Problem {row['task_id']!r} has {name} that is not a list of texts.",
                f"Make {name} a list.",
            )
    if len(inputs) != len(outputs):
        raise SeedbedError(
            f"Problem {row['task_id']!r} has {len(inputs)} inputs but {len(outputs)} outputs.",
            "Give one output per input.",
        )
    return list(zip(inputs, outputs, strict=True))


def _text(row: Row, value: Any) -> str:
    """What stdin or stdout holds: a text, a list of lines (APPS), or a number."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str | int | float) for line in value):
        return "".join(f"{line}\n" for line in value)
    if isinstance(value, list):
        # Lines that are lists of words.
        rows = [line if isinstance(line, list) else [line] for line in value]
        if all(isinstance(word, str | int | float) for line in rows for word in line):
            return "".join(" ".join(map(str, line)) + "\n" for line in rows)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value}\n"
    raise SeedbedError(
        f"Problem {row['task_id']!r} has a case {value!r:.60}, which is no text for stdin.",
        "Give a text, or a list of lines.",
    )


def _calls(row: Row, pairs: list[tuple[Any, Any]]) -> list[functional.Case]:
    """Cases of calls.

    APPS and TACO wrap answers in a list of one. Where all answers of a row are such lists, what
    is in them is right, too.
    """
    wrapped = all(isinstance(wanted, list) and len(wanted) == 1 for _, wanted in pairs)
    cases: list[functional.Case] = []
    for given, wanted in pairs:
        # Only texts of arguments come with texts of answers. Beside a list of arguments a text is
        # the answer itself.
        answer = _value(row, wanted) if isinstance(given, str) else wanted
        answers = [answer, wanted[0]] if wrapped else [answer]
        if isinstance(given, dict):
            cases.append(([], given, answers))
        else:
            cases.append((_arguments(row, given), {}, answers))
    return cases


def _arguments(row: Row, given: Any) -> list[Any]:
    """A list of arguments, or a text with one argument in JSON per line (LiveCodeBench)."""
    if isinstance(given, list):
        return given
    if isinstance(given, str):
        return [_value(row, line) for line in given.strip("\n").split("\n")] if given else []
    return [given]


def _value(row: Row, value: Any) -> Any:
    """A value, or the one that a text holds as JSON or as a Python literal."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise SeedbedError(
            f"Problem {row['task_id']!r} has the argument or answer {value!r:.60}, which is "
            "neither JSON nor a Python value.",
            "Write each argument on a line of its own, as JSON.",
        ) from None
