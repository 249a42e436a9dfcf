"""Turns what came back from a run into a verdict. It starts nothing and reads no descriptor.

`worker.py` fills a `CallRun` or a `ScriptRun`; `calls` and `script` give the `Finding` on it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from seedbed.sandbox.clock import over_cpu
from seedbed.sandbox.inside import wire
from seedbed.sandbox.inside.decoder import Decoder
from seedbed.sandbox.server import Ended
from seedbed.sandbox.verdict import OUTCOMES, Isolation, Job, Limits, Outcome, ProjectTests, Verdict

# Characters of a verdict's reason.
_REASON_LENGTH = 500


@dataclass(frozen=True)
class Report:
    """What the tester says of a program.

    outcome: "gone" says that the program's process ended. met: whether the tests met an object of
    the program. blind: what the sealed run could not see; empty if it saw all.
    """

    outcome: Outcome | Literal["gone"]
    reason: str
    met: bool = False
    blind: str = ""


# Gives the outcome and the reason for what a script printed.
Decide = Callable[[str], tuple[Outcome, str]]


@dataclass(frozen=True)
class Finding:
    """The outcome of one run, without the task it belongs to.

    cpu: seconds of the program. rss: peak resident bytes of the program.
    retry: for an infrastructure outcome, whether another attempt may help.
    weakened: what makes the outcome weaker, as in Verdict.
    met, blind: as in Report.
    """

    outcome: Outcome
    reason: str
    cpu: float = 0.0
    rss: int = 0
    retry: bool = True
    weakened: str = ""
    met: bool = False
    blind: str = ""


@dataclass(frozen=True)
class CallRun:
    """What a jail and its tester left.

    tester: how the tester ended; None while it lives on to judge the next program.
    report: what the tester said; None if it ended without a word.
    expired: which time limit was passed; empty if none was.
    """

    jail: Ended
    tester: Ended | None
    report: Report | None
    expired: str


@dataclass(frozen=True)
class ScriptRun:
    """What one run of a script left.

    printed: its stdout. report: the jail's two frames on its start and its end.
    expired: which time limit was passed; empty if none was.
    """

    jail: Ended
    printed: bytes
    report: bytes
    expired: str


def read_report(frame: bytes) -> Report | None:
    """The tester's report in a frame; None where the frame holds no report.

    The tester is confined, and a program may have broken it, so its frame is not trusted.
    """
    try:
        outcome, reason, met, blind = Decoder(frame).values(4)
    except wire.Malformed:
        return None
    known = outcome in OUTCOMES or outcome == "gone"
    right = [type(part) for part in (reason, met, blind)] == [str, bool, str]
    return Report(outcome, reason, met, blind) if known and right else None


def calls(run: CallRun, limits: Limits) -> Finding:
    """The finding on a program whose functions were called.

    The tester's report stands, unless a limit was passed or a process died.
    """
    outcome, reason = _calls(run, limits)
    met, blind = (run.report.met, run.report.blind) if run.report else (False, "")
    return Finding(outcome, reason, run.jail.cpu, run.jail.rss, met=met, blind=blind)


def needs_witness(sealed: Finding) -> bool:
    """Whether the program must also run in a plain interpreter, with its tests beside it.

    It must where the sealed run met objects of the program, whatever it found, or where it found
    something wrong and had not seen all.
    """
    if sealed.outcome == "pass":
        return sealed.met
    return (sealed.met or bool(sealed.blind)) and sealed.outcome in ("fail", "error")


def both(sealed: Finding, plain: Finding) -> Finding:
    """The finding of a sealed run and of a plain one, which a program can forge.

    A pass needs both. Nobody forges a failure, so a plain failure stands. A plain pass alone, or
    beside a sealed run that did not see all, says nothing.
    """
    if plain.outcome == "infrastructure":
        return plain
    if sealed.outcome == "pass" and plain.outcome != "pass":
        return replace(plain, reason=f"{plain.reason} (beside its tests)"[:_REASON_LENGTH])
    if plain.outcome == "pass" and (sealed.blind or sealed.outcome != "pass"):
        told = f"a plain run passes where a sealed one does not: {sealed.reason}"
        reason = (sealed.blind or told)[:_REASON_LENGTH]
        return replace(sealed, outcome="unsupported", reason=reason)
    return sealed


def plain(run: ScriptRun, limits: Limits) -> Finding:
    """The finding on a program that ran beside its tests, in one process."""
    outcome, reason = _plain(run, limits)
    return Finding(outcome, reason, run.jail.cpu, run.jail.rss)


def _plain(run: ScriptRun, limits: Limits) -> tuple[Outcome, str]:
    if run.report[:4] != b"\0\0\0\0":
        return "infrastructure", "the jail could not be set up"
    if run.expired:
        return "timeout", run.expired
    if run.jail.cpu > limits.cpu_seconds:
        return "timeout", over_cpu(limits, "the program")
    try:
        outcome, reason = Decoder(run.report[8:]).values(2)
    except wire.Malformed:
        return _death(run.jail, limits, "the program")
    if outcome not in OUTCOMES or type(reason) is not str:
        return "error", "a malformed report"
    return outcome, reason


def script(run: ScriptRun, decide: Decide | None, limits: Limits) -> Finding:
    """The finding on one run of a script.

    decide: judges what it printed. None: its exit status alone decides.
    """
    outcome, reason = _script(run, decide, limits)
    return Finding(outcome, reason, run.jail.cpu, run.jail.rss)


def verdict(
    job: Job, finding: Finding, limits: Limits, wall: float, isolation: Isolation
) -> Verdict:
    """The verdict on a job: the finding with printable text, the limit, and what weakens it.

    wall: seconds of all attempts.
    """
    text = finding.reason.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    weakened: list[str] = []
    if isolation != "full":
        weakened.append(isolation)
    if isinstance(job.tests, ProjectTests) and job.tests.in_process:
        weakened.append("in-process-tests")
    if finding.weakened:
        weakened.append(finding.weakened)
    return Verdict(
        job.task_id,
        finding.outcome,
        text[:_REASON_LENGTH],
        round(finding.cpu, 6),
        round(wall, 6),
        finding.rss,
        round(limits.cpu_seconds, 6),
        "+".join(weakened),
    )


def _calls(run: CallRun, limits: Limits) -> tuple[Outcome, str]:
    if run.expired:
        return "timeout", run.expired
    if run.report is None:
        assert run.tester is not None
        outcome, reason = _death(run.tester, limits, "the tests")
        # A tester that vanished says nothing about the program.
        return ("infrastructure" if outcome == "error" else outcome), reason
    if run.report.outcome == "gone":
        return _death(run.jail, limits, "the program")
    if run.report.outcome == "pass" and run.jail.cpu > limits.cpu_seconds:
        return "timeout", over_cpu(limits, "the program")
    return run.report.outcome, run.report.reason


def _script(run: ScriptRun, decide: Decide | None, limits: Limits) -> tuple[Outcome, str]:
    """The jail's report can explain a failure. It can never make a pass."""
    status = run.jail.status
    if run.report[:4] != b"\0\0\0\0":
        return "infrastructure", "the jail could not be set up"
    if len(run.printed) > limits.output_bytes:
        return "output", f"printed more than {limits.output_bytes:,} bytes"
    if run.expired:
        return "timeout", run.expired
    if decide is None and os.WIFEXITED(status) and status and b"raise" not in run.report:
        return "fail", f"the test command exits with {os.WEXITSTATUS(status)}"
    # A program that chose its exit status has ended by itself. Its output decides.
    if status != 0 and (decide is None or not _left_by_itself(run)):
        return _script_failure(run, limits)
    if run.jail.cpu > limits.cpu_seconds:
        return "timeout", over_cpu(limits, "the program")
    if decide is None:
        return "pass", ""
    return decide(run.printed.decode("utf-8", "replace"))


def _left_by_itself(run: ScriptRun) -> bool:
    """Whether sys.exit ended the script, and no exception or signal."""
    try:
        kind = Decoder(run.report[8:]).values(2)[0]
    except wire.Malformed:
        return False
    return os.WIFEXITED(run.jail.status) and kind == "exit"


def _script_failure(run: ScriptRun, limits: Limits) -> tuple[Outcome, str]:
    try:
        kind, detail = Decoder(run.report[8:]).values(2)
        name, message, line = str(detail[1]), detail[3], detail[4]
    except (wire.Malformed, IndexError, TypeError):
        return _death(run.jail, limits, "the program")
    if kind != "raise" or not os.WIFEXITED(run.jail.status):
        return _death(run.jail, limits, "the program")
    outcomes: dict[str, Outcome] = {"MemoryError": "memory", "PermissionError": "forbidden"}
    return outcomes.get(name, "error"), f"{name}: {message} (program line {line})"


def _death(end: Ended, limits: Limits, who: str) -> tuple[Outcome, str]:
    """The outcome of a process that ended before its answer."""
    if end.ours:
        return "error", f"{who} closed the channel"
    if os.WIFEXITED(end.status):
        return "error", f"{who} ended the process with exit code {os.WEXITSTATUS(end.status)}"
    number = os.WTERMSIG(end.status)
    if number == signal.SIGSYS:
        return "forbidden", f"{who} made a system call that no program may make"
    if number != signal.SIGKILL:
        return "error", f"{who} crashed with {signal.Signals(number).name}"
    if end.cpu > limits.cpu_seconds:
        return "timeout", over_cpu(limits, who)
    return (
        "infrastructure",
        f"{who} was killed from outside (the host's out-of-memory killer, or by hand)",
    )
