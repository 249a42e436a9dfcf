"""What came back from a run becomes an outcome, without a process in sight."""

from __future__ import annotations

import signal
from functools import partial

import pytest

from seedbed.sandbox import CallTests, Job, Limits, ProjectTests, comparison, judge
from seedbed.sandbox.inside import wire
from seedbed.sandbox.judge import CallRun, Finding, Report, ScriptRun
from seedbed.sandbox.server import Ended

LIMITS = Limits(cpu_seconds=2.0, output_bytes=10)
STARTED = b"\0\0\0\0"
EXITED = Ended(0, False, 1.0, 7)
KILLED = Ended(signal.SIGKILL, False, 1.0, 7)
OVER = Ended(0, False, 2.5, 7)


def called(
    jail: Ended = EXITED, tester: Ended = EXITED, report=None, expired=""
) -> tuple[str, str]:
    said = None if report is None else Report(*report)
    found = judge.calls(CallRun(jail, tester, said, expired), LIMITS)
    assert (found.cpu, found.rss) == (jail.cpu, jail.rss)
    return found.outcome, found.reason


def test_the_testers_report_stands():
    assert called(report=("pass", "")) == ("pass", "")
    assert called(report=("fail", "1 is not 2")) == ("fail", "1 is not 2")


def test_a_pass_above_the_cpu_limit_is_a_timeout_and_a_failure_stays_one():
    assert called(OVER, report=("pass", ""))[0] == "timeout"
    assert called(OVER, report=("fail", "no")) == ("fail", "no")


def test_a_passed_time_limit_is_stronger_than_any_report():
    assert called(report=("pass", ""), expired="the wall") == ("timeout", "the wall")


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (Ended(3 << 8, False, 0, 0), "error"),
        (Ended(signal.SIGSEGV, False, 0, 0), "error"),
        (Ended(signal.SIGSYS, False, 0, 0), "forbidden"),
        (Ended(signal.SIGKILL, True, 0, 0), "error"),
        (Ended(signal.SIGKILL, False, 2.5, 0), "timeout"),
        (Ended(signal.SIGKILL, False, 0, 0), "infrastructure"),
    ],
)
def test_the_death_of_the_program_is_its_own_unless_others_killed_it(end, outcome):
    assert called(end, report=("gone", ""))[0] == outcome


def test_a_tester_that_vanished_says_nothing_of_the_program():
    assert called(tester=Ended(70 << 8, False, 0, 0))[0] == "infrastructure"
    assert called(tester=Ended(signal.SIGSYS, False, 0, 0))[0] == "forbidden"


def test_tests_that_cannot_run_sealed_give_no_verdict_on_the_program():
    assert called(report=("unsupported", "a socket")) == ("unsupported", "a socket")


SEEN, MET, BLIND = (False, ""), (True, ""), (True, "an object")


@pytest.mark.parametrize(
    ("sealed", "seen", "plain", "outcome"),
    [
        # A pass needs both, and a plain failure stands.
        ("pass", MET, "pass", "pass"),
        ("pass", MET, "fail", "fail"),
        ("pass", MET, "timeout", "timeout"),
        ("pass", BLIND, "fail", "fail"),
        # A plain pass can be forged, so it is no pass beside a run that has not seen all.
        ("pass", BLIND, "pass", "unsupported"),
        ("fail", BLIND, "pass", "unsupported"),
        ("error", BLIND, "pass", "unsupported"),
        ("fail", BLIND, "error", "fail"),
        # An object's stand-in may lack what the tests asked of it.
        ("fail", MET, "pass", "unsupported"),
        ("error", MET, "pass", "unsupported"),
        ("error", MET, "fail", "error"),
        ("pass", MET, "infrastructure", "infrastructure"),
    ],
)
def test_two_runs_make_one_verdict(sealed, seen, plain, outcome):
    first = Finding(sealed, "", met=seen[0], blind=seen[1])
    assert judge.needs_witness(first)
    assert judge.both(first, Finding(plain, "")).outcome == outcome


@pytest.mark.parametrize(
    ("outcome", "seen"),
    [("pass", SEEN), ("fail", SEEN), ("error", SEEN), ("timeout", MET), ("timeout", BLIND)],
)
def test_one_run_is_enough_where_the_sealed_one_saw_all(outcome, seen):
    assert not judge.needs_witness(Finding(outcome, "", met=seen[0], blind=seen[1]))


def beside(report: bytes, jail=EXITED, expired="") -> str:
    return judge.plain(ScriptRun(jail, b"", report, expired), LIMITS).outcome


def test_a_plain_run_is_judged_by_its_report_and_its_end():
    passed = wire.frame(99, "pass", "")
    framed = STARTED + len(passed).to_bytes(4, "little") + passed
    assert beside(framed) == "pass"
    assert beside(framed, OVER) == "timeout"
    assert beside(framed, expired="the wall") == "timeout"
    assert beside(b"") == "infrastructure"
    assert beside(STARTED) == "error"
    odd = wire.frame(99, "won", "")
    assert beside(STARTED + len(odd).to_bytes(4, "little") + odd) == "error"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        wire.frame(99, "won", "", False, ""),
        wire.frame(99, "pass", 1, False, ""),
        wire.frame(99, "pass", "", 1, ""),
        wire.frame(99, "pass", ""),
    ],
)
def test_a_frame_that_is_no_report_is_none(frame):
    assert judge.read_report(frame) is None


def test_a_report_is_read():
    assert judge.read_report(wire.frame(99, "gone", "x", True, "y")) == Report(
        "gone", "x", True, "y"
    )


def printed(text: bytes, expected: str | None, jail=EXITED, report=STARTED, expired=""):
    decide = None if expected is None else partial(comparison.judge_output, expected, "lines")
    found = judge.script(ScriptRun(jail, text, report, expired), decide, LIMITS)
    return found.outcome, found.reason


def test_what_a_script_printed_is_compared_with_what_it_should_have():
    assert printed(b"1 \n2\n\n", "1\n2") == ("pass", "")
    assert printed(b"1", "1\n2") == ("fail", "line 2: expected '2', got nothing")
    assert printed(b"", " \n") == ("pass", "")


def test_a_script_is_refused_for_each_limit_it_passes():
    assert printed(b"1" * 11, "1" * 11)[0] == "output"
    assert printed(b"1" * 10, "1" * 10)[0] == "pass"
    assert printed(b"1", "1", jail=OVER)[0] == "timeout"
    assert printed(b"1", "1", expired="the wall") == ("timeout", "the wall")


def test_a_jail_that_never_started_is_no_verdict_on_the_program():
    assert printed(b"1", "1", report=b"")[0] == "infrastructure"


def test_the_word_of_the_jail_explains_a_failure_and_makes_no_pass():
    failed = Ended(1 << 8, False, 0, 0)
    detail = ("MemoryError", "MemoryError", (), "too much", 3, ())
    report = STARTED + b"\0\0\0\0" + wire.frame(999, "raise", detail)
    assert printed(b"1", "1", failed, report)[0] == "memory"
    assert printed(b"1", None, failed, report)[0] == "memory"
    left = STARTED + b"\0\0\0\0" + wire.frame(999, "exit", "exit code 1")
    # sys.exit(1) after the right output is a choice of the program, as judges see it.
    assert printed(b"1", "1", failed, left)[0] == "pass"
    assert printed(b"2", "1", failed, left)[0] == "fail"
    assert printed(b"1", None, failed, left)[0] == "fail"
    killed = Ended(signal.SIGSEGV, False, 0, 0)
    assert printed(b"1", "1", killed, left)[0] == "error"
    passed = STARTED + b"\0\0\0\0" + wire.frame(999, "return", "")
    assert printed(b"1", "1", failed, passed)[0] == "error"
    assert printed(b"2", "1", EXITED, passed)[0] == "fail"


def test_without_expected_output_the_exit_status_decides():
    assert printed(b"anything", None) == ("pass", "")
    assert printed(b"", None, Ended(5 << 8, False, 0, 0)) == (
        "fail",
        "the test command exits with 5",
    )


def test_a_verdict_is_printable_short_and_names_what_weakens_it():
    finding = Finding("fail", "\0" + "\ud800" + "x" * 999)
    project = ProjectTests((), ("python", "-m", "x"), in_process=True)
    weak = judge.verdict(Job("t", "", project), finding, LIMITS, 1.23456789, "rlimits-only")
    assert (len(weak.reason), weak.reason[:9]) == (500, "\\0\\ud800x")
    assert weak.weakened == "rlimits-only+in-process-tests"
    assert (weak.wall_seconds, weak.cpu_limit_seconds) == (1.234568, 2.0)
    full = judge.verdict(Job("t", "", CallTests("")), finding, LIMITS, 0, "full")
    assert full.weakened == ""
