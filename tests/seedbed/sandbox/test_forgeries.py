"""Programs that try to pass without solving the problem. None may pass, or harm the next one.

Each has one trick, and its file is named after it.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from seedbed.sandbox import Job, Sandbox, StdioTests, Tests, Verdict
from tests.seedbed.sandbox.corpus import GENERATED_TESTS, HONEST, MIX, PLAIN_TESTS, PROGRAMS, TESTS

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


def traces() -> dict[str, object]:
    """What a program that got out could have left on this host."""
    now = time.time() - time.monotonic()
    names = ("forged.py", "evil.so", "answers", "bomb", "0", "out")
    places = (tempfile.gettempdir(), "/dev/shm", "/tmp", "/", os.getcwd())
    return {
        "files": [
            f"{place}/{name}" for place in places for name in names if Path(place, name).exists()
        ],
        "environment": dict(os.environ),
        "clock": round(now / 60),
        "handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
    }


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def verdicts(sandbox: Sandbox) -> dict[str, Verdict]:
    before = traces()
    jobs = [Job(name, program, TESTS) for name, program in PROGRAMS.items()]
    honest = [Job(f"honest {place}", HONEST, TESTS) for place in range(len(jobs))]
    mixed = [job for pair in zip(jobs, honest, strict=True) for job in pair]
    found = {str(verdict.task_id): verdict for verdict in sandbox.run(mixed)}
    assert traces() == before, "something outside has changed"
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_forgery_does_not_pass(verdicts: dict[str, Verdict], name: str) -> None:
    verdict = verdicts[name]
    assert verdict.verdict not in ("pass", "infrastructure"), verdict
    assert verdict.verdict == OUTCOMES.get(name, verdict.verdict), verdict
    assert verdict.reason


def test_honest_programs_between_the_forgeries_all_pass(verdicts: dict[str, Verdict]) -> None:
    honest = {verdict.verdict for name, verdict in verdicts.items() if name.startswith("honest")}
    assert honest == {"pass"}


def test_no_process_outlives_its_verdict(verdicts: dict[str, Verdict], sandbox: Sandbox) -> None:
    for worker in sandbox._workers:
        assert worker.server is not None
        left = children(worker.server.pid)
        assert len(left) <= 1, "only the idle tester waits for the next program"
        assert [children(pid) for pid in left] == [[]] * len(left)


def test_the_corpus_is_not_smaller_than_it_was() -> None:
    assert len(PROGRAMS) >= 90


@pytest.mark.slow
@pytest.mark.parametrize(
    "tests",
    [PLAIN_TESTS, StdioTests(("3 4\n", "10 1\n"), ("161\n", "327\n")), GENERATED_TESTS, MIX],
    ids=["easier", "script", "generated", "project"],
)
def test_a_forgery_does_not_pass_under_easier_tests_or_in_another_format(
    sandbox: Sandbox, tests: Tests
) -> None:
    if not isinstance(tests, StdioTests):
        assert sandbox.run([Job("honest", HONEST, tests)])[0].verdict == "pass"
    found = sandbox.run(Job(name, program, tests) for name, program in PROGRAMS.items())
    assert {verdict.verdict for verdict in found} & {"pass", "infrastructure"} == set()
