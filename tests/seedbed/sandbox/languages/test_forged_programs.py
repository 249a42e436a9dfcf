"""Programs in other languages that try to pass without solving the problem, or to harm the host.

Each has one trick, and its file is named after it. Half of them are aimed at the compiler.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from seedbed.sandbox import Job, Sandbox, StdioTests
from seedbed.sandbox.languages import LANGUAGES, orders

FOLDER = Path(__file__).parent / "forgeries"
FORGERIES = sorted(FOLDER.glob("*/*"))
# The least common multiple of two numbers, and their greatest common divisor, added.
TESTS = StdioTests(("252 105\n", "7 13\n"), ("1281\n", "92\n"))
HONEST = """
#include <stdio.h>
static long gcd(long a, long b) { return b ? gcd(b, a % b) : a; }
int main(void) {
    long a, b;
    if (scanf("%ld %ld", &a, &b) != 2) return 1;
    printf("%ld\\n", gcd(a, b) + a / gcd(a, b) * b);
}
"""
# Where one outcome is the right name for what happened.
OUTCOMES = {
    "c/loops_for_ever": "timeout",
    "c/sleeps_for_ever": "timeout",
    "c/stops_itself": "timeout",
    "c/ignores_every_signal": "timeout",
    "c/becomes_itself_for_ever": "timeout",
    "c/prints_without_end": "output",
    "c/traces_its_parent": "forbidden",
    "c/reads_another_process_memory": "forbidden",
    "c/makes_new_namespaces": "forbidden",
    "c/uses_io_uring": "forbidden",
    "c/makes_code_at_run_time": "error",
    "c/exits_with_zero_at_once": "fail",
    "c/fills_memory_that_is_shared_or_grows_down": "fail",
    "cpp/fills_a_vector_without_end": "memory",
    "java/fills_the_heap": "memory",
    "java/fills_memory_outside_the_heap": "memory",
    "javascript/fills_the_heap": "memory",
    "rust/fills_memory": "memory",
    "rust/recurses_in_traits_without_end": "timeout",
    "go/traces_its_parent": "forbidden",
}


def slow_but_for_c(path: Path) -> object:
    """A parameter: C's compiler is fast, the others' take seconds."""
    marks = () if path.parent.name == "c" else (pytest.mark.slow,)
    return pytest.param(path, id=f"{path.parent.name}/{path.stem}", marks=marks)


@pytest.fixture(autouse=True)
def short_compilations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "COMPILER_CPU_SECONDS", 8)


@pytest.mark.parametrize("path", [slow_but_for_c(path) for path in FORGERIES])
def test_a_forged_program_does_not_pass(
    polyglot: Sandbox, needs: Callable[[str], None], path: Path
) -> None:
    language = path.parent.name
    needs(language)
    job = Job(path.stem, path.read_text(), TESTS, language=language)
    # What one leaves behind would show in the honest program after it.
    honest = Job("honest", HONEST, TESTS, language="c")
    found, other = polyglot.run([job, honest])
    assert found.verdict not in ("pass", "infrastructure"), found
    name = f"{language}/{path.stem}"
    assert found.verdict == OUTCOMES.get(name, found.verdict), found
    assert found.reason
    assert other.verdict == "pass"
    places = ("/", "/tmp", "/dev/shm", "/box", tempfile.gettempdir())
    assert [place for place in places if Path(place, "forged").exists()] == []


def test_the_corpus_is_not_smaller_than_it_was() -> None:
    assert len(FORGERIES) >= 100
    assert {path.parent.name for path in FORGERIES} == set(LANGUAGES)
