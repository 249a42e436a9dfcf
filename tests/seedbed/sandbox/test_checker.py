from __future__ import annotations

import pytest

from seedbed.sandbox import Job, Sandbox, StdioTests

# Any number below the given one is right.
FUNCTION = "def check(given, output, answer):\n    return 0 < int(output) < int(given)\n"
PAIR = (
    "def check(given, output, answer):\n"
    "    return (int(output) < int(given), 'not below ' + given.strip())\n"
)
ASSERTS = FUNCTION.replace("return", "assert") + "    return True\n"
SCRIPT = """import sys
with open(sys.argv[1]) as a, open(sys.argv[2]) as b, open(sys.argv[3]) as c:
    given, answer, output = a.read(), b.read(), c.read()
assert int(answer) < int(given)
print("looking")
print(1 if 0 < int(output) < int(given) else 0)
"""
STATUS = """import sys
from pathlib import Path
given, answer, output = (int(Path(name).read_text()) for name in sys.argv[1:])
sys.exit(0 if 0 < output < given else 1)
"""


@pytest.mark.parametrize("checker", [FUNCTION, PAIR, ASSERTS, SCRIPT, STATUS])
def test_a_checker_decides_in_place_of_the_expected_output(sandbox: Sandbox, checker: str) -> None:
    tests = StdioTests(("9\n", "5\n"), ("8\n", "4\n"), checker=checker)
    programs = ["print(int(input()) - 2)", "print(int(input()) + 2)", "print('none')"]
    found = sandbox.run(Job("c", program, tests) for program in programs)
    assert [verdict.verdict for verdict in found] == ["pass", "fail", "fail"]
    assert "the checker" in found[1].reason
    assert "cannot read" in found[2].reason


@pytest.mark.parametrize(
    "checker",
    [
        "def check(given, output, answer):\n    raise KeyError(3)\n",
        "def check(given, output, answer):\n    pass\n",
        "def check(given, output, answer):\n    while True: pass\n",
        "import os\nos._exit(0)\n",
    ],
)
def test_a_checker_that_refuses_the_right_answer_is_the_problems_fault(
    sandbox: Sandbox, checker: str
) -> None:
    tests = StdioTests(("9\n",), ("8\n",), checker=checker)
    (verdict,) = sandbox.run([Job("c", "print(8)", tests)])
    assert verdict.verdict == "infrastructure"
    assert "the problem's checker does not work" in verdict.reason


@pytest.mark.parametrize(
    "program",
    [
        # What the checker's own run prints, and what a script would accept by.
        'print(\'["right", ""]\')',
        "print(2)\nprint(1)",
        "import sys\nsys.stdout.write('\\x00' * 99 + '1')",
        'import os\nos.write(1, b\'["right", ""]\')\nos._exit(0)',
        "open('correct_output.txt', 'w').write('1')\nprint(99)",
        "import builtins\nbuiltins.open = lambda *a: None\nprint(99)",
    ],
)
@pytest.mark.parametrize("checker", [FUNCTION, SCRIPT])
def test_a_program_cannot_speak_for_the_checker(
    sandbox: Sandbox, checker: str, program: str
) -> None:
    tests = StdioTests(("2\n",), ("1\n",), checker=checker)
    (verdict,) = sandbox.run([Job("c", program, tests)])
    assert verdict.verdict not in ("pass", "infrastructure"), verdict
