"""Limits scaled by the reference, and problems whose reference is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from seedbed.sandbox import CallTests, Job, Limits, Sandbox
from seedbed.sandbox.__main__ import main
from seedbed.sandbox.reference import References, scaled
from seedbed.sandbox.verdict import Verdict

BUSY = """import time
def f():
    end = time.process_time() + {}
    while time.process_time() < end: pass
    return 1
"""
TESTS = CallTests("assert f() == 1")
LIMITS = Limits(cpu_seconds=0.3, wall_seconds=3)


def test_a_slow_reference_allows_its_programs_ten_times_its_cpu_time(sandbox: Sandbox) -> None:
    slow, slower = BUSY.format(0.5), BUSY.format(1.0)
    alone, beside, reference = sandbox.run(
        [
            Job("alone", slower, TESTS, LIMITS),
            Job("beside", slower, TESTS, LIMITS, reference=slow),
            Job("reference", slow, TESTS, LIMITS, reference=slow),
        ]
    )
    assert (alone.verdict, alone.cpu_limit_seconds) == ("timeout", 0.3)
    assert (beside.verdict, reference.verdict) == ("pass", "pass")
    assert beside.cpu_limit_seconds == pytest.approx(10 * reference.cpu_seconds, rel=1e-5)
    assert reference.cpu_limit_seconds == pytest.approx(3.0)


def test_the_tester_of_the_reference_serves_the_programs_whose_limits_are_no_wider() -> None:
    with Sandbox(1, LIMITS) as pool:
        program = "def f(): return {}"
        pool.run([Job(n, program.format(n), TESTS, reference=program.format(1)) for n in (2, 3)])
        [worker] = pool._workers
        first = worker._tester
        assert first is not None
        assert first.judged == 3
        wide = replace(LIMITS, cpu_seconds=10 * LIMITS.cpu_seconds + 1)
        pool.run([Job(4, program.format(4), TESTS, wide)])
        assert worker._tester is not first


def test_a_quick_reference_leaves_the_limit_and_is_judged_once() -> None:
    quick = Verdict("t", "pass", "", 0.01, 0.1, 0)
    assert scaled(LIMITS, quick) == LIMITS
    references, judged = References(), []

    def judge(job: Job, limits: Limits) -> Verdict:
        judged.append((job.program, limits.cpu_seconds))
        return quick

    for n in range(3):
        assert references.verdict(Job(n, f"{n}", TESTS, reference="right"), LIMITS, judge) is quick
    assert judged == [("right", 3.0)]


@pytest.mark.parametrize(
    ("used", "cpu", "wall"),
    [
        # 6 x 1.5 s, and three times that.
        (1.5, 9.0, 27.0),
        # 3 x 2.1 s is less than the wall limit that there is.
        (0.35, 2.1, 7.0),
        # 6 x 0.1 s is less than the limit of CPU time, and 3 x 2 s less than the wall limit.
        (0.1, 2.0, 7.0),
    ],
)
def test_the_wall_limit_grows_with_that_of_cpu_time(used: float, cpu: float, wall: float) -> None:
    limits = Limits(cpu_seconds=2, wall_seconds=7, memory_bytes=1 << 27, reference_factor=6)
    found = scaled(limits, Verdict("t", "pass", "", used, used, 0))
    assert (found.cpu_seconds, found.wall_seconds) == pytest.approx((cpu, wall))
    assert replace(found, cpu_seconds=2, wall_seconds=7) == limits


@pytest.mark.parametrize(("factor", "cpu", "wall"), [(4.0, 8.0, 20.0), (0.5, 1.0, 5.0)])
def test_a_reference_has_the_time_that_its_programs_may_have(
    factor: float, cpu: float, wall: float
) -> None:
    seen: list[Limits] = []

    def judge(job: Job, limits: Limits) -> Verdict:
        seen.append(limits)
        return Verdict("t", "pass", "", 0.01, 0.1, 0)

    limits = Limits(cpu_seconds=2, wall_seconds=5, reference_factor=factor)
    References().verdict(Job("t", "", TESTS, reference="r"), limits, judge)
    assert [(one.cpu_seconds, one.wall_seconds) for one in seen] == [(cpu, wall)]


def test_a_measurement_that_failed_is_made_again() -> None:
    outcomes = iter(["infrastructure", "pass"])
    references = References()

    def judge(job: Job, limits: Limits) -> Verdict:
        return Verdict("t", next(outcomes), "", 0, 0, 0)  # type: ignore[arg-type]

    job = Job("t", "", TESTS, reference="r")
    assert [references.verdict(job, LIMITS, judge).verdict for _ in range(3)] == [
        "infrastructure",
        "pass",
        "pass",
    ]


def test_programs_of_a_problem_whose_reference_fails_have_no_verdict_and_the_problem_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = [
        {"task_id": "good", "test_list": ["assert f() == 1"], "code": "def f(): return 1"},
        {"task_id": "bad", "test_list": ["assert f() == 1"], "code": "def f(): return 2"},
    ]
    samples = [
        {"task_id": name, "completion": "def f(): return 1"} for name in ("good", "bad", "bad")
    ]
    for name, rows in (("p", problems), ("s", samples)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert (
        main(
            [
                "run",
                *(f"--{k}={tmp_path / k[0]}" for k in ("problems", "samples", "out")),
                "--workers=1",
            ]
        )
        == 0
    )
    rows = [json.loads(line) for line in (tmp_path / "o").read_text().splitlines()]
    assert [row["verdict"] for row in rows] == ["pass", "infrastructure", "infrastructure"]
    said = capsys.readouterr().err
    assert (
        said.count("dropped: task 'bad': the problem's reference does not pass its tests: fail: ")
        == 1
    )


def test_a_reference_judged_as_a_sample_gets_its_own_verdict(sandbox: Sandbox) -> None:
    (found,) = sandbox.run([Job("t", "def f(): return 2", TESTS, reference="def f(): return 2")])
    assert found.verdict == "fail"
