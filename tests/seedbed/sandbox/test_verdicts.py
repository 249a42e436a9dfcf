"""Every outcome, and what tests may do with a program, through real fork servers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seedbed.sandbox import CallTests, Job, Limits, Sandbox, StdioTests, Verdict


def verdict(
    sandbox: Sandbox, program: str, tests: CallTests | StdioTests | str, **limits: float
) -> Verdict:
    tests = CallTests(tests) if isinstance(tests, str) else tests
    own = Limits(**{"cpu_seconds": 1.0, "wall_seconds": 3.0, **limits}) if limits else None  # type: ignore[arg-type]
    (found,) = sandbox.run([Job("t", program, tests, own)])
    assert found.wall_seconds > 0
    assert len(found.reason) <= 500
    return found


CALLS = {
    "returns a plain value": ("def f(x): return x + 1", "assert f(1) == 2"),
    "takes keywords and defaults": (
        "def f(a, *, b=2): return [a, b]",
        "assert f(1, b=3) == [1, 3]\nassert f(1) == [1, 2]",
    ),
    "raises a built-in exception": (
        "def f(x): raise ValueError('no', x)",
        "try:\n    f(1)\n    assert False\nexcept ValueError as e:\n    assert e.args == ('no', 1)",
    ),
    "raises its own subclass of one": (
        "class Mine(KeyError): pass\ndef f(): raise Mine('k')",
        "try:\n    f()\n    assert False\nexcept KeyError:\n    pass",
    ),
    "changes its argument": ("def f(x): x.sort()", "a = [3, 1]\nf(a)\nassert a == [1, 3]"),
    "returns its argument": ("def f(x): return x", "a = [3]\nassert f(a) is a"),
    "returns a generator": (
        "def f(n):\n    yield from range(n)",
        "assert list(f(3)) == [0, 1, 2]\nassert sum(f(4)) == 6",
    ),
    "defines a class": (
        "class Stack:\n    def __init__(s): s.items = []\n"
        "    def push(s, x): s.items.append(x)\n    def __len__(s): return 2",
        "s = Stack()\ns.push([1])\ns.push(2)\nassert s.items == [[1], 2] and len(s) == 2",
    ),
    "takes objects it made": (
        "class N:\n    pass\ndef f(n): return n.v + 1",
        "n = N()\nn.v = 4\nassert f(n) == 5",
    ),
    "returns a closure": ("def f(a): return lambda b: a + b", "assert f(1)(2) == 3"),
    "takes a function of the tests": (
        "def f(g, xs): return [g(x) for x in xs]",
        "assert f(lambda x: x * 2, [1, 2]) == [2, 4]",
    ),
    "calls back into a test that calls it": (
        "def f(g, n): return g(n) if n else 0",
        "assert f(lambda n: f(None, 0) + n, 3) == 3",
    ),
    "takes a type": (
        "def f(t): return isinstance(1, t)",
        "assert f(int) is True\nassert f(str) is False",
    ),
    "returns a named tuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(): return P(1, 2)",
        "assert f() == (1, 2)",
    ),
    "uses a dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n"
        "    x: 'int'\ndef f(): return P(3).x",
        "assert f() == 3",
    ),
    "uses threads": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def f(): return sum(ThreadPoolExecutor(8).map(abs, range(9)))",
        "assert f() == 36",
    ),
    "uses asyncio": (
        "import asyncio\nasync def g(): return 5\ndef f(): return asyncio.run(g())",
        "assert f() == 5",
    ),
    "imports lazily": (
        "def f():\n    import difflib, string\n    return string.digits[:2]",
        "assert f() == '01'",
    ),
    "has float answers": ("def f(): return 0.1 + 0.2", "assert abs(f() - 0.3) < 1e-9"),
}


@pytest.mark.parametrize("case", CALLS, ids=str)
def test_tests_may_use_a_program_that(sandbox: Sandbox, case: str) -> None:
    program, tests = CALLS[case]
    found = verdict(sandbox, program, tests, memory_bytes=512 << 20)
    assert (found.verdict, found.reason) == ("pass", "")
    assert found.max_rss_bytes > 1 << 20


# Answers a call twice: a whole frame of (return, 1, None, None) by hand before its own.
EXTRA_REPLY = (
    "import os\ndef f():\n"
    "    os.write(3, b'\\x14\\0\\0\\0s\\6\\0\\0\\0returni\\1\\0\\0\\0\\1NNN')\n    return 1"
)


@pytest.mark.parametrize(
    ("outcome", "program", "tests", "reason"),
    [
        ("fail", "def f(x): return x", "assert f(1) == 2", "assert f(1) == 2"),
        ("fail", "def f(x): return None", "assert f(1) < 2", "TypeError"),
        (
            "fail",
            "def f(): return 1 << 99999",
            "got = f()\nassert got == 1, got",
            "in `assert got == 1, got`",
        ),
        ("fail", "def f(x): return x", "x = 1", "never called"),
        ("fail", "def f(x): return x", "callable(f)", "never called"),
        ("error", "def f(x) return x", "f(1)", "SyntaxError"),
        ("error", "x = 1 / 0", "f(1)", "ZeroDivisionError: division by zero (program line 1)"),
        (
            "error",
            "def f(x):\n    return [][x]",
            "f(1)",
            "IndexError: list index out of range (program line 2)",
        ),
        ("error", "x = 1\n\ndef f(:", "f(1)", "(program line 3)"),
        ("error", "def g(x): return x", "f(1)", "does not define f"),
        ("error", "def f(): raise SystemExit(0)", "f()", "SystemExit"),
        (
            "error",
            "import os\ndef f(): os._exit(0)",
            "try:\n    f()\nexcept Exception:\n    pass",
            "exit code 0",
        ),
        (
            "error",
            "import os\ndef f(): os._exit(0)",
            "try:\n    f()\nexcept BaseException:\n    pass",
            "exit code 0",
        ),
        ("error", "import os\nos._exit(70)", "f()", "exit code 70"),
        ("error", "import os\ndef f(): os.write(3, b'\\1\\0\\0\\0?')", "f()", "malformed"),
        (
            "error",
            "def f(x): raise StopIteration",
            "assert all(map(lambda x: f(x) == 2, [1, 2]))",
            "StopIteration",
        ),
        ("error", EXTRA_REPLY, "assert f() == 1", "outside a call"),
        ("timeout", "while True: pass", "f()", "the program used more than 1 s of CPU"),
        (
            "timeout",
            "def f(): return 1",
            "f()\nwhile True: pass",
            "the tests used more than 1 s of CPU",
        ),
        ("timeout", "import time\ndef f(): time.sleep(99)", "f()", "wall-clock"),
        ("memory", "x = bytearray(1 << 30)", "f()", "MemoryError"),
        ("memory", "def f(): return 'x' * (1 << 30)", "f()", "MemoryError"),
        ("memory", "def f(): return 1", "f()\nx = bytearray(1 << 30)", "tests ran out of memory"),
        ("output", "def f(): return 'x' * (1 << 24)", "f()", "more than 8,388,608 bytes"),
        ("forbidden", "def f(): return open('/x', 'w')", "f()", "PermissionError"),
        (
            "forbidden",
            "import ctypes\ndef f(): ctypes.CDLL(None).ptrace(0, 0, 0, 0)",
            "f()",
            "system call",
        ),
        ("error", "def f(): return '\0'", "f()", "null bytes"),
        ("error", "def f(): return '\ud800'", "f()", "surrogates"),
        ("error", "#" * (2 << 20), "f()", "the limit is 1,048,576"),
        ("unsupported", "def f(x): return x", "import sys\nf(sys)", "no plain form"),
    ],
)
def test_a_call_program_gets_the_verdict(
    sandbox: Sandbox, outcome: str, program: str, tests: str, reason: str
) -> None:
    found = verdict(sandbox, program, tests)
    assert found.verdict == outcome, found
    assert reason in found.reason


ECHO = StdioTests(("a b\n", "c\n"), ("b a\n", "c\n"))


@pytest.mark.parametrize(
    ("outcome", "program", "reason"),
    [
        ("pass", "print(*input().split()[::-1])", ""),
        (
            "pass",
            "import sys\nfor line in sys.stdin: print(*line.split()[::-1], '  ')\nprint()",
            "",
        ),
        ("pass", "print(*open(0).read().split()[::-1])\nexit()", ""),
        ("pass", "import os\nos.write(1, b' '.join(os.read(0, 99).split()[::-1]))", ""),
        (
            "pass",
            "def main():\n    print(*input().split()[::-1])\n"
            "if __name__ == '__main__':\n    main()",
            "",
        ),
        (
            "pass",
            "import threading\nthreading.Timer(0.1, lambda: print(*input().split()[::-1])).start()",
            "",
        ),
        ("fail", "print(input())", "case 0: line 1: expected 'b a', got 'a b'"),
        ("fail", "pass", "got nothing"),
        ("fail", "print(*input().split()[::-1])\nprint('more')", "expected nothing, got 'more'"),
        (
            "error",
            "print(*input().split()[::-1])\nraise KeyError(3)",
            "KeyError: 3 (program line 2)",
        ),
        ("pass", "print(*input().split()[::-1])\nexit(3)", ""),
        ("fail", "exit(3)", "got nothing"),
        ("error", "import os\nos._exit(70)", "exit code 70"),
        ("error", "x = 1\n\ndef f(:", "(program line 3)"),
        ("timeout", "while True: pass", "CPU"),
        ("timeout", "import os\nos.close(1)\nwhile True: pass", "CPU"),
        ("output", "while True: print('x' * 9999)", "8,388,608"),
        ("memory", "x = bytearray(1 << 30)", "MemoryError"),
        ("forbidden", "open('/x', 'w')", "PermissionError"),
        ("forbidden", "import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)", "system call"),
    ],
)
def test_a_script_gets_the_verdict(
    sandbox: Sandbox, outcome: str, program: str, reason: str
) -> None:
    found = verdict(sandbox, program, ECHO)
    assert found.verdict == outcome, found
    assert reason in found.reason


@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("x = 1\n\ndef f(:\n    pass", 3),
        ("def f():\n  if x:\n  return 1", 3),
        ("def f():\n    return 1 / 0", 2),
    ],
)
def test_a_line_behind_a_prelude_is_the_programs_own(
    sandbox: Sandbox, program: str, line: int
) -> None:
    prelude = "import math\nimport re\n" * 4
    calls = CallTests("f()", prelude=prelude, adapter="def g():\n    return f()\n")
    script = StdioTests(("",), ("1",), prelude=prelude)
    for tests, text in ((calls, program), (script, f"{program}\nf()")):
        found = verdict(sandbox, text, tests)
        assert found.verdict == "error"
        assert f"(program line {line})" in found.reason, found


def test_one_of_several_answers_passes_and_any_other_is_wrong_or_unsupported(
    sandbox: Sandbox,
) -> None:
    tests = StdioTests(
        ("3\n", "9\n", "3\n"), ("2\n", "8\n", "1\n"), others=(("1\n",), (), ("2\n",))
    )
    small, large = "print(1 if input() == '3' else 8)", "print(int(input()) - 1)"
    for text in (small, large):
        assert verdict(sandbox, text, tests).verdict == "pass"
    assert verdict(sandbox, "print(0)", tests).verdict == "fail"
    assert verdict(sandbox, "print(1)", tests).reason.startswith("case 1: ")
    assert tests.case(2) == StdioTests(("3\n",), ("1\n",), others=(("2\n",),))
    # Where any answer is right, another one is not known to be wrong, but a crash is.
    some = replace(tests, any_answer=True)
    assert verdict(sandbox, large, some).verdict == "pass"
    found = verdict(sandbox, "print(0)", some)
    assert found.verdict == "unsupported"
    assert found.reason.startswith("case 0: the problem takes any of several answers")
    assert verdict(sandbox, "print(0 if input() == '3' else 1 / 0)", some).verdict == "error"


def test_large_stdin_reaches_a_script(sandbox: Sandbox) -> None:
    text = "x" * (1 << 21)
    assert (
        verdict(sandbox, "print(len(input()))", StdioTests((text,), (str(1 << 21),))).verdict
        == "pass"
    )


def test_a_problem_without_cases_is_no_pass(sandbox: Sandbox) -> None:
    assert verdict(sandbox, "pass", StdioTests((), ())).verdict == "fail"


def test_luck_and_set_order_are_the_same_in_every_jail(sandbox: Sandbox) -> None:
    tests = "import random\nassert f() == (random.random(), list({'a', 'b', 'c', 'd'}))"
    program = "import random\ndef f(): return random.random(), list({'a', 'b', 'c', 'd'})"
    assert {
        found.verdict
        for found in sandbox.run([Job(n, program, CallTests(tests)) for n in range(6)])
    } == {"pass"}


def test_time_limits_below_a_second_hold(sandbox: Sandbox) -> None:
    found = verdict(sandbox, "while True: pass", "f()", cpu_seconds=0.2)
    assert found.verdict == "timeout"
    assert 0.2 < found.cpu_seconds < 1
