"""What the interpreter of the sandbox can do, tried by programs in jails."""

from __future__ import annotations

from seedbed.sandbox.interpreter import Interpreter
from seedbed.sandbox.pool import Sandbox
from seedbed.sandbox.verdict import Job, Limits, StdioTests

# Levels that are tried, and those that a right program may need.
_DEPTHS = (900, 5_000, 20_000, 100_000, 400_000)
_ENOUGH = 20_000
# Prints each depth that a recursive function reaches, until it dies.
_DESCEND = """
import sys
from functools import lru_cache
sys.setrecursionlimit(10 ** 7)
{define}
for depth in {depths}:
    assert f(depth) == depth
    print(depth, flush=True)
"""
_FUNCTIONS = {
    "plain recursion": "def f(n):\n    return 0 if n == 0 else f(n - 1) + 1",
    "memoised recursion": (
        "@lru_cache(None)\ndef g(n):\n    return 0 if n == 0 else g(n - 1) + 1\n"
        "def f(n):\n    g.cache_clear()\n    return g(n)"
    ),
    "mapped recursion": "def f(n):\n    return 0 if n == 0 else max(map(f, [n - 1])) + 1",
    "recursion by sort key": (
        "def f(n):\n    return 0 if n == 0 else min([n - 1], key=lambda m: f(m)) + 1"
    ),
    "memoised in a thread": (
        "import threading\n@lru_cache(None)\ndef g(n):\n    return 0 if n == 0 else g(n - 1) + 1\n"
        "def f(n):\n    out = []\n    g.cache_clear()\n    threading.stack_size(1 << 28)\n"
        "    t = threading.Thread(target=lambda: out.append(g(n)))\n    t.start()\n    t.join()\n"
        "    return out[0]"
    ),
}
_INTEGERS = "print(len(str(7 ** 10 ** 5)))"
_THREADS = (
    "import threading\nthreading.stack_size(1 << 29)\nout = []\n"
    "ts = [threading.Thread(target=out.append, args=(i,)) for i in range(1)]\n"
    "[t.start() for t in ts]\n[t.join() for t in ts]\nprint(len(out))"
)


def interpreter(chosen: Interpreter) -> dict[str, tuple[bool, str]]:
    """Name of each ability -> (whether programs have what they need, detail)."""
    found = {"Python": (True, f"{chosen.describe().version}, {chosen.path}")}
    limits = Limits(cpu_seconds=30.0, wall_seconds=60.0, memory_bytes=1 << 30)
    with Sandbox(1, limits, interpreter=chosen) as sandbox:

        def works(program: str, output: str) -> tuple[bool, str]:
            (verdict,) = sandbox.run([Job(program, program, StdioTests(("",), (output,)))])
            return verdict.verdict == "pass", verdict.reason

        for name, define in _FUNCTIONS.items():
            reached = 0
            for depth in _DEPTHS:
                program = _DESCEND.format(define=define, depths=(depth,))
                if not works(program, str(depth))[0]:
                    break
                reached = depth
            found[name] = (reached >= _ENOUGH, f"{reached:,} levels at least")
        found["long integers"] = works(_INTEGERS, "84510")
        found["threads of 512 MB"] = works(_THREADS, "1")
        for package in chosen.packages:
            found[package] = works(f"import {package}\nprint('in')", "in")
    return found
