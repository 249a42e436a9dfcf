"""Go tests: a table of `{ actual: candidate(...), expected: ... }`, compared as %v prints them."""

from __future__ import annotations

import re

from seedbed.sandbox.languages.sealing.calls import Sealed, cases

_PACKAGE = re.compile(r"^package \w+", re.M)


def as_main(text: str) -> str:
    """The text with package main in place of the test's own."""
    return _PACKAGE.sub("package main", text, count=1)


def seal(prompt: str, tests: str) -> Sealed | None:
    """The tests taken apart; None where they are not of that form."""
    name = re.search(r"candidate := (\w+)", tests)
    found = cases(tests, r"actual: candidate\(", r",\s*expected: ", r"\s*\},?\s*$")
    start = re.search(r"^func Test\w+\(", tests, re.M)
    compares = 'fmt.Sprintf("%v", tc.actual) != fmt.Sprintf("%v", tc.expected)'
    if name is None or start is None or not found or compares not in tests:
        return None
    head, call = tests[: start.start()], name[1]
    show = 'func seedbedShows(v any) { fmt.Printf("\\n\\x01%q\\n", fmt.Sprintf("%v", v)) }\n'
    used = "var _ testing.TB\n" if '"testing"' in prompt else ""
    answers = "".join(f"\tseedbedShows({call}({case.arguments}))\n" for case in found)
    expected = "".join(f"\tseedbedShows({case.expected})\n" for case in found)
    return Sealed(
        len(found),
        f"{head}{used}{show}func main() {{\n{answers}}}\n",
        as_main(f'{prompt}\n\tpanic("")\n}}\n{head}{used}{show}func main() {{\n{expected}}}\n'),
    )
