"""Programs and tests drawn at random from scenes, and what plain Python says of them.

A scene is a right program, faults that can be put into it, and lines of tests that hold for the
right one. A draw takes some faults and some lines. So plain Python passes some and fails others.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Scene:
    """faults: pairs (text of the program, what replaces it). lines: each stands alone."""

    program: str
    faults: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]


def _scenes() -> tuple[Scene, ...]:
    """The scenes of drawn_scenes.txt. There a fault is `TEXT => TEXT`, and `\\n` is a new line."""
    text = (Path(__file__).parent / "drawn_scenes.txt").read_text()
    parts = re.split(r"^## (?:program|faults|lines)\n", text, flags=re.M)[1:]
    scenes = []
    for program, faults, lines in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        pairs = [fault.split(" => ") for fault in faults.splitlines()]
        found = tuple((before, after) for before, after in pairs)
        scenes.append(Scene(program, found, tuple(lines.splitlines())))
    return tuple(scenes)


SCENES = _scenes()


def draw(count: int, seed: int) -> list[tuple[str, str]]:
    """Pairs of a program and tests."""
    rng, found = random.Random(seed), []
    for _ in range(count):
        scene = rng.choice(SCENES)
        program = scene.program
        for before, after in rng.sample(scene.faults, rng.choice((0, 1, 1, 1, 2))):
            program = program.replace(_escaped(before), _escaped(after), 1)
        lines = rng.sample(scene.lines, min(len(scene.lines), rng.choice((2, 4, 6, 9))))
        found.append((program, "\n".join(map(_escaped, lines)) + "\n"))
    return found


def _escaped(text: str) -> str:
    return text.replace("\\n", "\n").replace("\\\n", "\\n")


# Reads pairs from stdin as Python, and prints which pass.
PLAIN = """
import ast, builtins, os, sys, types, random
real = sys.stdin, sys.stdout, builtins.input
found = []
for program, tests in ast.literal_eval(sys.stdin.read()):
    sys.stdin, sys.stdout, builtins.input = real[0], open(os.devnull, "w"), real[2]
    random.seed(0)
    module = sys.modules["solution"] = types.ModuleType("solution")
    try:
        exec(compile(program, "<program>", "exec"), vars(module))
        exec(compile(tests, "<tests>", "exec"), {**vars(module), "__name__": "tests"})
        found.append(True)
    except BaseException:
        found.append(False)
sys.stdout = real[1]
print(found)
"""
