"""Tests that a sealed run cannot follow to their end: `unsupported`, and never a fail or a pass."""

from __future__ import annotations

import pytest

from seedbed.sandbox import CallTests, Job, Sandbox

# A right program, tests that hold in plain Python, and what makes the program wrong.
CASES = {
    "a group of exceptions": (
        "def both(): raise ExceptionGroup('many', [ValueError('a'), KeyError('b')])\n",
        "try:\n    both()\n    assert False\nexcept* KeyError:\n    pass\nexcept* ValueError:\n"
        "    pass",
        ("KeyError", "OSError"),
    ),
    "an exception with a constructor of its own": (
        "class Bad(Exception):\n    def __init__(self, text, **more):\n"
        "        super().__init__(text)\n        self.more = more\n",
        "try:\n    raise Bad('x', a=1)\nexcept Bad as e:\n    assert e.more == {'a': 1}",
        ("self.more = more", "self.more = {}"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_only_plain_python_sees_is_unsupported_where_it_passes_and_fails_where_not(
    sandbox: Sandbox, name: str
) -> None:
    program, tests, (before, after) = CASES[name]
    wrong = program.replace(before, after)
    assert wrong != program
    right, spoiled = sandbox.run(Job("t", text, CallTests(tests)) for text in (program, wrong))
    assert right.verdict == "unsupported"
    assert right.reason
    assert spoiled.verdict in ("fail", "error")
