"""A step's answer -> what it holds, or a `Fault` that says why it holds nothing. Pure.

No answer is guessed at. A grade must be the whole of the answer's last line that is not blank, as
in spark_jobs/quality/rating.py. Text that a program quotes, or that talked the judge into writing
another line, gives a fault.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from conf.loader import config_hash
from rl.rollouts.blocks import blocks
from rl.rollouts.extraction import extract_program
from rl.rollouts.python_text import Reader
from seedbed.inference import thoughts
from seedbed.sandbox.python_source import NOT_PYTHON, body

_CORRECTNESS = r"CORRECTNESS (10|[0-9])"
_DIFFICULTY = r"DIFFICULTY (10|[1-9]) TOPIC ([a-zA-Z0-9+#./ -]{1,60})"
_NAME = "[A-Za-z_][A-Za-z0-9_]{0,60}"
# Brackets may not contain every character. Otherwise a literal would run on to the next closing
# bracket, through comments and further comparisons.
_LITERAL = "|".join(
    (
        r"None|True|False|set\(\)|-?[0-9]{1,20}(\.[0-9]{1,10})?(e-?[0-9]{1,3})?",
        r'b?"([^"\\\n]|\\.){0,80}"|b?\'([^\'\\\n]|\\.){0,80}\'',
        r"\[[^\n#=]{0,80}\]|\([^\n#=()]{0,80}\)|\{[^\n#=]{0,80}\}",
    )
)
_ARGUMENT = rf"([a-z_]{{1,30}}=)?({_LITERAL})"
_CALL = rf"\(({_ARGUMENT}(, {_ARGUMENT}){{0,5}})?\)"
# The prompts ask for assert FUNCTION(ARGUMENTS) == RESULT. FUNCTION is one of the program's; the
# arguments and the result are literals.
_TESTS = rf"```python\n(assert (NAMES){_CALL}(\.{_NAME}{_CALL})? == ({_LITERAL})\n){{5,MOST}}```"
# The forms of the steps whose answers a server with structured output can constrain: one paragraph
# and the grade's line, or blocks of code.
_FORMS = {
    "judge": rf"[^\n]{{1,600}}\n{_CORRECTNESS}",
    "difficulty": rf"[^\n]{{1,600}}\n{_DIFFICULTY}",
    "tests": _TESTS,
    "repair": rf"```python\n([^`\n]{{0,100}}\n){{1,LINES}}```\n{_TESTS}",
}
# Tokens that a line of code and a test may take. A form must end before the answer is cut off,
# because a cut answer holds nothing. SmolLM2's tokenizer was measured at 12 tokens per line; the
# rest is room for longer lines.
_LINE_TOKENS, _TEST_TOKENS = 16, 48
# A shorter text says nothing, and a longer one comes from a model that does not stop.
TASK_CHARACTERS = (40, 6_000)
PROGRAM_CHARACTERS = 40_000


@dataclass(frozen=True)
class Fault:
    """Why an answer holds nothing."""

    why: str


def form(step: str, code: str, tokens: int) -> str:
    """A regular expression for the whole answer of a step; "" where any text will do.

    code: the program that is asked about. tokens: the most that an answer may take.
    """
    most = min(10, max(5, tokens // _TEST_TOKENS))
    names = "|".join(_names(code)) or _NAME
    found = _FORMS.get(step, "").replace("NAMES", names).replace("MOST", str(most))
    return found.replace("LINES", str(max(8, tokens // _LINE_TOKENS)))


def forms_version() -> str:
    """Version of the forms, whatever the program."""
    return config_hash([form(step, "", 1_024) for step in _FORMS])


def task(answer: str) -> str | Fault:
    """The text of a task, which is the whole answer."""
    text, (least, most) = answer.strip(), TASK_CHARACTERS
    if not least <= len(text) <= most:
        return Fault(f"{len(text)} characters, not {least} to {most}")
    return text


def program(answer: str) -> str | Fault:
    """The program of an answer, by the rule that judges completions (rl/rollouts/extraction.py)."""
    found = extract_program(answer)
    if not found:
        return Fault("no program")
    if len(found) > PROGRAM_CHARACTERS:
        return Fault(f"{len(found)} characters, more than {PROGRAM_CHARACTERS}")
    return found


def tests(answer: str, least: int) -> tuple[str, ...] | Fault:
    """The assert statements of the last fenced block of Python.

    The block must hold nothing else, and at least `least` of them.
    """
    found = _blocks(answer)
    return asserts(found[-1], least) if found else Fault("no block of code")


def repair(answer: str, least: int) -> tuple[str, tuple[str, ...]] | Fault:
    """(program, tests) of an answer with two fenced blocks of Python."""
    both = _blocks(answer)
    if len(both) != 2:
        return Fault(f"{len(both)} blocks of code, not 2")
    found = asserts(both[1], least)
    return found if isinstance(found, Fault) else (both[0], found)


def asserts(code: str, least: int) -> tuple[str, ...] | Fault:
    """The statements of `code`, which must be at least `least` different asserts."""
    try:
        statements = ast.parse(code).body
    except NOT_PYTHON as error:
        return Fault(f"tests that are no Python: {type(error).__name__}")
    if not all(isinstance(node, ast.Assert) for node in statements):
        return Fault("statements among the tests that are no asserts")
    found = tuple(dict.fromkeys(ast.get_source_segment(code, node) or "" for node in statements))
    return found if len(found) >= least else Fault(f"{len(found)} tests, not {least}")


def correctness(answer: str) -> int | Fault:
    """The grade of correctness, 0 to 10."""
    found = re.fullmatch(_CORRECTNESS, _last_line(answer))
    return int(found[1]) if found else Fault("the last line is no grade")


def difficulty(answer: str) -> tuple[int, str] | Fault:
    """The difficulty, 1 to 10, and the topic in lower case."""
    found = re.fullmatch(_DIFFICULTY, _last_line(answer))
    return (
        (int(found[1]), found[2].strip().lower())
        if found
        else Fault("the last line is no difficulty with a topic")
    )


def stub(code: str) -> str:
    """A program with the functions and classes of `code`, which do nothing.

    Tests that it passes prove nothing.
    """
    return "".join(f"def {name}(*values, **named):\n    return None\n\n" for name in _names(code))


def _names(code: str) -> list[str]:
    """Names of the functions and classes that `code` defines, each once."""
    # A repaired program need not be Python.
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return list(dict.fromkeys(node.name for node in body(code) if isinstance(node, kinds)))


def _blocks(answer: str) -> list[str]:
    """The fenced blocks of Python behind the thought, but those that are too long."""
    found = [block.text for block in blocks(thoughts.outside(answer), Reader()) if block.is_code]
    return [block for block in found if len(block) <= PROGRAM_CHARACTERS]


def _last_line(answer: str) -> str:
    return next((line.strip() for line in reversed(answer.splitlines()) if line.strip()), "")
