"""Special judges: a problem's own checker program decides whether an output is right.

A checker is Python, in one of two forms:
- It defines check(input, output, answer), three texts. The result is true for a right output; a
  pair (result, message) says why. An AssertionError means a wrong output.
- It is a script with three arguments: the paths of the input, of the right answer and of the
  output. It accepts by printing 1 as its last word; if it prints nothing, by exit status 0. This is
  the contract of `generated_checker` in the data set open-r1/codeforces.

The checker runs in a jail of its own, after the program's jail has ended. The program's output
reaches it as a text, so a program can write to nothing that decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from seedbed.sandbox.judge import Finding
from seedbed.sandbox.verdict import Outcome

# What the jail runs. Stdin holds the checker, the input, the answer and the output. The three texts
# stand where a script opens files, so that a jail needs no file for them.
SCRIPT = """
import builtins, io, json, sys

checker, given, answer, output = json.loads(sys.stdin.buffer.read())
verdict, printed = sys.stdout, io.StringIO()
files = {"input.txt": given, "correct_output.txt": answer, "solution_output.txt": output}
plain_open = builtins.open


def opened(name, mode="r", *rest, **options):
    text = files.get(str(name).removeprefix("./"))
    if text is None:
        return plain_open(name, mode, *rest, **options)
    return io.BytesIO(text.encode("utf-8", "surrogatepass")) if "b" in mode else io.StringIO(text)


def decided(result):
    message = ""
    if isinstance(result, tuple) and len(result) == 2:
        result, message = result
    if result is None:
        raise TypeError("check() returned None")
    # A part of the points is no pass.
    return (bool(result) and not (isinstance(result, float) and result < 1)), str(message)


def ruled():
    code = compile(checker, "<checker>", "exec", dont_inherit=True)
    scope = {"__name__": "checker" if "check" in defined else "__main__", "__builtins__": builtins}
    try:
        exec(code, scope)
        if "check" in defined:
            return decided(scope["check"](given, output, answer))
        status = 0
    except SystemExit as error:
        status = error.code or 0
    except AssertionError as error:
        return False, str(error)
    words = printed.getvalue().split()
    if not words:
        return status == 0, "exit status %s" % status
    return status == 0 and words[-1] == "1", " ".join(words)[:200]


import ast

try:
    defined = {node.name for node in ast.parse(checker).body if isinstance(node, ast.FunctionDef)}
    sys.argv = ["checker.py", *files]
    sys.stdin, sys.stdout, builtins.open, io.open = io.StringIO(), printed, opened, opened
    right, message = ruled()
    said = ["right" if right else "wrong", message]
except BaseException as error:
    said = ["broken", "%s: %s" % (type(error).__name__, error)]
verdict.write(json.dumps(said))
verdict.flush()
"""

_OUTCOMES: dict[Any, Outcome] = {"right": "pass", "wrong": "fail", "broken": "error"}


def read(printed: str) -> tuple[Outcome, str]:
    """What the script above printed, as an outcome of the checker's run."""
    try:
        said, message = json.loads(printed)
        return _OUTCOMES[said], str(message)[:300]
    except (ValueError, KeyError, TypeError):
        return "error", "it ended without an answer"


def judge_output(
    run: Callable[[str], Finding], case: tuple[str, str, str], printed: str
) -> tuple[Outcome, str]:
    """The outcome for what a program printed.

    case: the checker, the input and the right answer. run: runs SCRIPT with a stdin.

    A checker that breaks on an output has met one that it cannot read: the output is wrong, if the
    checker accepts the right answer. If it does not, the fault is the problem's.
    """
    found = run(_stdin(case, printed))
    if found.outcome in ("pass", "fail"):
        reason = f"the checker refuses the output: {found.reason}" if found.reason else ""
        return found.outcome, "" if found.outcome == "pass" else reason or "the checker refuses it"
    if found.outcome != "infrastructure" and run(_stdin(case, case[2])).outcome == "pass":
        return "fail", f"the checker cannot read the output: {found.reason}"
    return "infrastructure", f"the problem's checker does not work: {found.reason}"[:400]


def _stdin(case: tuple[str, str, str], printed: str) -> str:
    return json.dumps([*case, printed])
