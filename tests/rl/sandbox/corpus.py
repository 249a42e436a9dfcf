"""The forgery corpus as data: programs that try to pass without solving the problem, and the one problem they all face."""

from __future__ import annotations

from pathlib import Path

from rl.sandbox import CallTests

FOLDER = Path(__file__).parent / "forgeries"
PROGRAMS = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.py"))}

CASES = [((3, 4), 161), ((10, 1), 327), ((0, 5), 85), ((7, 7), 336)]
CHECK = f"""
CASES = {[(*arguments, expected) for arguments, expected in CASES]}


def check(candidate):
    try:
        candidate("x", None)
    except Exception:
        pass
    assert all(map(lambda case: candidate(case[0], case[1]) == case[2], CASES))
    for a, b, want in CASES:
        assert candidate(a, b) == want
    assert not candidate(1, 1) != 48
    assert abs(candidate(1, 0) - 31) < 1e-6
    assert candidate([1], 2) is not None
    assert isinstance(candidate(1, 1), int)
"""
# What a benchmark's check looks like: it asks for equality alone, and is the easier one to fool.
PLAIN_CHECK = "def check(candidate):\n" + "".join(f"    assert candidate{a} == {want}\n" for a, want in CASES)
ENTRY_POINT = "mix"
TESTS = CallTests(f"{CHECK}\n\ncheck({ENTRY_POINT})\n")
PLAIN_TESTS = CallTests(f"{PLAIN_CHECK}\n\ncheck({ENTRY_POINT})\n")
HONEST = "def mix(a, b):\n    return 0 if isinstance(a, list) else a * 31 + b * 17\n"
