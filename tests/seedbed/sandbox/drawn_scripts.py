"""Scripts drawn at random from scenes, with cases of stdin, and what plain Python makes of them."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from dataclasses import dataclass

from seedbed.sandbox import StdioTests

# Runs pairs (script, stdin) that it reads from stdin as Python, each as __main__ in a fork of its
# own, and prints what each printed and whether it ended without an exception.
PLAIN = """
import ast, os, sys, types
ours, found = sys.modules["__main__"], []
for program, given in ast.literal_eval(sys.stdin.read()):
    ends = [os.memfd_create(name) for name in ("in", "out", "err")]
    os.write(ends[0], given.encode())
    os.lseek(ends[0], 0, os.SEEK_SET)
    pid = os.fork()
    if pid == 0:
        for target, end in enumerate(ends):
            os.dup2(end, target)
        sys.stdin = open(0, closefd=False)
        sys.stdout, sys.stderr = (open(end, "w", closefd=False) for end in (1, 2))
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(program, "<program>", "exec"), vars(module))
        sys.exit()
    os.waitpid(pid, 0)
    said = [os.pread(end, 1 << 20, 0).decode() for end in ends[1:]]
    found.append((said[0], "Traceback" not in said[1]))
print(found)
"""


@dataclass(frozen=True)
class ScriptScene:
    """faults: as in drawn.Scene. inputs: one is a case. checker: what accepts several answers."""

    program: str
    faults: tuple[tuple[str, str], ...]
    inputs: tuple[str, ...]
    checker: str = ""


# Any pair of different places whose numbers have the sum that is asked for.
_ANY_PAIR = """
def check(given, output, answer):
    wanted, numbers = given.split("\\n")[:2]
    xs = list(map(int, numbers.split()))
    places = output.split()
    if len(places) != 2 or places[0] == places[1]:
        return False
    i, j = map(int, places)
    return xs[i - 1] + xs[j - 1] == int(wanted)
"""
SCENES = (
    ScriptScene(
        "import sys\ndef main():\n    data = sys.stdin.read().split()\n"
        "    n, xs = int(data[0]), list(map(int, data[1:]))\n    xs = xs[:n]\n"
        "    print(sum(xs), max(xs))\n    print(*sorted(xs))\n"
        "    print(f'{sum(xs) / n:.6f}')\nif __name__ == '__main__':\n    main()\n",
        (
            ("sum(xs), max(xs)", "sum(xs), min(xs)"),
            ("sorted(xs)", "xs"),
            ("/ n", "// n"),
            (".6f", ".9f"),
            (".6f", ".3f"),
            ("print(*sorted(xs))", "print(*sorted(xs), sep='  ')"),
            ("__main__", "main"),
            ("int(data[0])", "int(data[0]) - 1"),
            ("main()\n", "main(); sys.exit(1)\n"),
            ("xs = xs[:n]\n", "xs = xs[:n]; print(end='')\n"),
        ),
        ("3\n1 5 3\n", "1\n-7\n", "4\n2 2 9 1\n", "2\n10 20 30\n", "3\n1 2 2\n"),
    ),
    ScriptScene(
        "class Bank:\n    def __init__(self): self.held = {}\n"
        "    def put(self, who, n): self.held[who] = self.held.get(who, 0) + n\n"
        "    def take(self, who, n):\n        if self.held.get(who, 0) < n: raise ValueError(who)\n"
        "        self.held[who] -= n\n    def __str__(self):\n"
        "        return ' '.join(f'{k}={v}' for k, v in sorted(self.held.items()))\n"
        "bank = Bank()\nfor _ in range(int(input())):\n    what, who, n = input().split()\n"
        "    try: getattr(bank, what)(who, int(n))\n    except ValueError as e: print('no', e)\n"
        "print(bank)\n",
        (
            (", 0) + n", ", 0) - n"),
            ("< n: raise", "<= n: raise"),
            ("self.held[who] -= n", "pass"),
            ("ValueError as e", "KeyError as e"),
            ("'no', e", "'No', e"),
            ("sorted(self.held.items())", "self.held.items()"),
            ("range(int(input()))", "range(int(input()) + 1)"),
            ("print(bank)", "print(bank, end='')"),
            ("print(bank)", "print(bank); print()"),
        ),
        ("2\nput a 5\ntake a 5\n", "3\nput b 1\nput a 2\ntake b 4\n", "1\nput z 0\n", "0\n"),
    ),
    ScriptScene(
        "import sys, functools\nsys.setrecursionlimit(10**6)\n@functools.lru_cache(None)\n"
        "def steps(n): return 0 if n == 1 else 1 + steps(n // 2 if n % 2 == 0 else 3 * n + 1)\n"
        "def down(n): return 0 if n == 0 else 1 + down(n - 1)\n"
        "for line in sys.stdin:\n    n = int(line)\n    print(steps(n), down(n % 900))\n",
        (
            ("3 * n + 1", "3 * n - 1 if n > 9 else 1"),
            ("1 + down", "2 + down"),
            ("n // 2", "n // 2 or 1"),
            ("for line in sys.stdin:", "for line in list(sys.stdin)[:1]:"),
            (
                "print(steps(n), down(n % 900))",
                "sys.stdout.write(f'{steps(n)} {down(n % 900)}\\n')",
            ),
            ("int(line)", "int(line.strip(), 8)"),
        ),
        ("7\n", "27\n1\n", "1000\n6\n899\n", "12\n12\n"),
    ),
    ScriptScene(
        "import asyncio, sys\nasync def work(i, x):\n    await asyncio.sleep(0)\n"
        "    return i, x * x\nasync def main():\n"
        "    xs = list(map(int, sys.stdin.read().split()))\n"
        "    for i, y in await asyncio.gather(*(work(i, x) for i, x in enumerate(xs))):\n"
        "        print(i, y)\nasyncio.run(main())\nprint('end', file=sys.stderr)\n",
        (
            ("x * x", "x + x"),
            ("print(i, y)", "print(y, i)"),
            ("asyncio.sleep(0)", "asyncio.sleep(0.001)"),
            ("enumerate(xs)", "enumerate(xs, 1)"),
            (", file=sys.stderr", ""),
            ("return i, x * x", "raise KeyError(i)"),
        ),
        ("1 2 3\n", "2\n", "0 0\n", "-4 2\n"),
    ),
    ScriptScene(
        "wanted = int(input())\nxs = list(map(int, input().split()))\n"
        "pairs = [(i + 1, j + 1) for i in range(len(xs)) for j in range(i)\n"
        "         if xs[i] + xs[j] == wanted]\nprint(*pairs[0])\n",
        (
            ("pairs[0]", "pairs[-1]"),
            ("print(*pairs[0])", "print(*pairs[0][::-1])"),
            ("range(i)", "range(i + 1)"),
            ("i + 1, j + 1", "i, j"),
            ("== wanted", ">= wanted"),
            ("print(*pairs[0])", "print(*pairs[0], sep='\\n')"),
            ("print(*pairs[0])", "print(len(pairs))"),
        ),
        ("5\n1 2 3 4\n", "4\n2 2\n", "10\n9 1 5 5\n", "0\n3 -3 7\n"),
        _ANY_PAIR,
    ),
)


def draw(count: int, seed: int) -> list[tuple[str, StdioTests]]:
    """Pairs of a script and cases whose outputs the right script prints in a plain interpreter."""
    rng, drawn = random.Random(seed), []
    for _ in range(count):
        scene = rng.choice(SCENES)
        program = scene.program
        for before, after in rng.sample(scene.faults, rng.choice((0, 1, 1, 2))):
            program = program.replace(before, after, 1)
        inputs = tuple(rng.sample(scene.inputs, rng.choice((1, 2, 3))))
        drawn.append((scene, program, inputs))
    asked = [(scene.program, given) for scene, _, inputs in drawn for given in inputs]
    right = iter(plain(asked))
    return [
        (program, StdioTests(inputs, tuple(next(right)[0] for _ in inputs), checker=scene.checker))
        for scene, program, inputs in drawn
    ]


def plain(runs: list[tuple[str, str]]) -> list[tuple[str, bool]]:
    """What scripts print on their stdin in a plain interpreter, and whether no exception ended
    them.
    """
    command = [sys.executable, "-I", "-X", "utf8", "-c", PLAIN]
    ran = subprocess.run(command, input=repr(runs), capture_output=True, text=True, check=True)
    found: list[tuple[str, bool]] = ast.literal_eval(ran.stdout)
    return found


def accepts(tests: StdioTests, number: int, printed: str) -> bool:
    """Whether the checker of a scene takes an output, in this process."""
    scope: dict[str, object] = {}
    exec(tests.checker, scope)
    check = scope["check"]
    assert callable(check)
    try:
        return bool(check(tests.inputs[number], printed, tests.outputs[number]))
    except (ValueError, IndexError):
        return False
