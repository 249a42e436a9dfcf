"""Programs that try to pass without solving the problem: one trick each, named by its file. None may pass, or harm the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl.sandbox import CallTests, Job, Sandbox, Verdict

FORGERIES = sorted(path.stem for path in (Path(__file__).parent / "forgeries").glob("*.py"))

TESTS = CallTests(
    """
CASES = [(3, 4, 161), (10, 1, 327), (0, 5, 85), (7, 7, 336)]


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


check(mix)
"""
)
HONEST = "def mix(a, b):\n    return 0 if isinstance(a, list) else a * 31 + b * 17\n"

# Where one outcome is the right name for what happened.
OUTCOMES = {
    "loops_for_ever": "timeout",
    "sleeps_for_ever": "timeout",
    "ignores_every_signal": "timeout",
    "prints_without_end": "timeout",
    "matches_a_catastrophic_regular_expression": "timeout",
    "fills_memory": "memory",
    "fills_memory_in_a_call_and_swallows_the_error": "memory",
    "raises_its_limits_again": "memory",
    "returns_a_huge_string": "output",
    "returns_a_huge_integer": "output",
    "traces_its_neighbours": "forbidden",
    "reads_another_process_memory": "forbidden",
    "uses_io_uring": "forbidden",
    "makes_new_namespaces": "forbidden",
    "leaves_a_daemon_behind": "forbidden",
    "leaves_by_os_exit_zero_in_a_call": "error",
    "leaves_by_sys_exit_zero": "error",
    "loads_bytecode_by_a_null_pointer": "error",
    "returns_an_int_subclass_that_equals_everything": "fail",
    "returns_lone_surrogates": "fail",
    "answers_every_call_with_nan": "fail",
}


@pytest.fixture(scope="module")
def verdicts(sandbox: Sandbox) -> dict[str, Verdict]:
    folder = Path(__file__).parent / "forgeries"
    jobs = [Job(name, (folder / f"{name}.py").read_text(), TESTS) for name in FORGERIES]
    honest = [Job(f"honest {place}", HONEST, TESTS) for place in range(len(jobs))]
    mixed = [job for pair in zip(jobs, honest, strict=True) for job in pair]
    return {str(verdict.task_id): verdict for verdict in sandbox.run(mixed)}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_does_not_pass(verdicts: dict[str, Verdict], name: str) -> None:
    verdict = verdicts[name]
    assert verdict.verdict not in ("pass", "infrastructure"), verdict
    assert verdict.verdict == OUTCOMES.get(name, verdict.verdict), verdict
    assert verdict.reason


def test_honest_programs_between_the_forgeries_all_pass(verdicts: dict[str, Verdict]) -> None:
    honest = {verdict.verdict for name, verdict in verdicts.items() if name.startswith("honest")}
    assert honest == {"pass"}


def test_the_corpus_is_not_smaller_than_it_was() -> None:
    assert len(FORGERIES) >= 60
