"""Judges programs from files, or shows which isolation this host allows.

    python -m rl.sandbox run problems=P.jsonl samples=S.jsonl out=V.jsonl [workers=2]
        [format=FORM] [max_bad=10] [cpu_seconds=5] [memory_mb=512] [isolation=rlimits-only]
        [python=PATH] [packages=numpy,sympy]
    python -m rl.sandbox check [python=PATH] [packages=numpy,sympy]

Problems and samples are JSON lines, plain or .gz. The fields that they need are named in
seedbed/sandbox/formats/. V.jsonl has one row per sample, in the order of the samples, with the
fields of seedbed.sandbox.verdict.Verdict. It is written when all verdicts are known.

The form of a problem is told by its fields, and what was found is printed. A bad row is named and
skipped, up to max_bad of them; its samples get no verdict (infrastructure). A limit of time or
memory that a problem brings holds in place of the options.

A problem whose own reference fails its tests is named, and its samples get no verdict
(infrastructure).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

from tqdm import tqdm

from conf.errors import SeedbedError, run_cli
from conf.flags import KEY_VALUE_HELP, parse_flags
from seedbed import jsonl
from seedbed.sandbox import (
    OUTCOMES,
    Job,
    Limits,
    Sandbox,
    absent,
    formats,
    host,
    probes,
    problem_files,
)
from seedbed.sandbox.interpreter import add_flags, of_flags
from seedbed.sandbox.languages import installed
from seedbed.sandbox.problem_files import MAX_BAD, BadRows
from seedbed.sandbox.reference import UNFIT
from seedbed.sandbox.verdict import Isolation, Verdict


def main(argv: list[str]) -> int:
    """Exit status 0; 1 when `check` finds that the sandbox cannot run here."""
    parser = _parser()
    arguments = parse_flags(parser, argv)
    return _check(arguments) if arguments.command == "check" else _run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rl.sandbox",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="judge samples", epilog=KEY_VALUE_HELP)
    files = {
        "problems": "one problem per line",
        "samples": "one sample per line",
        "out": "where the verdicts go",
    }
    for name, meaning in files.items():
        run.add_argument(f"--{name}", type=Path, required=True, metavar="FILE.jsonl", help=meaning)
    run.add_argument(
        "--workers", type=int, help="programs that run at a time (default: the number of CPUs)"
    )
    run.add_argument(
        "--cpu-seconds",
        type=float,
        default=Limits.cpu_seconds,
        help="CPU time of one program (default: %(default)s)",
    )
    run.add_argument(
        "--memory-mb",
        type=int,
        default=Limits.memory_bytes >> 20,
        help="memory of one program, in MiB (default: %(default)s)",
    )
    run.add_argument(
        "--isolation",
        choices=get_args(Isolation),
        default="full",
        help="rlimits-only is weaker, for hosts without namespaces; each verdict then says so "
        "(default: %(default)s)",
    )
    problem_files.add_flags(run)
    check = commands.add_parser(
        "check", help="show which isolation this host allows, and what its Python can do"
    )
    for command in (run, check):
        add_flags(command)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    if arguments.workers is not None and arguments.workers < 1:
        raise SeedbedError(
            f"--workers {arguments.workers} must be at least 1.", "Give --workers 1 or more."
        )
    limits = Limits(cpu_seconds=arguments.cpu_seconds, memory_bytes=arguments.memory_mb << 20)
    limits = replace(limits, wall_seconds=max(limits.wall_seconds, 3 * limits.cpu_seconds))
    rows = list(
        read_jobs(arguments.problems, arguments.samples, arguments.format, arguments.max_bad)
    )
    jobs = [row for row in rows if isinstance(row, Job)]
    for reason in installed.missing(job.spoken for job in jobs):
        print(f"no verdicts: {reason}", file=sys.stderr)
    pool = Sandbox(arguments.workers, limits, arguments.isolation, of_flags(arguments))
    with pool as sandbox, tqdm(total=len(jobs), unit="program", mininterval=1) as bar:
        judged = iter(sandbox.run(jobs, on_verdict=lambda verdict: bar.update()))
    verdicts = [next(judged) if isinstance(row, Job) else row for row in rows]
    jsonl.write(arguments.out, map(asdict, verdicts))
    _print_summary(verdicts)
    print(f"{'all':<15}{len(verdicts):>8}  -> {arguments.out}")
    return 0


def _print_summary(verdicts: list[Verdict]) -> None:
    unfit = {v.task_id: v.reason for v in verdicts if v.reason.startswith(UNFIT)}
    for task, reason in unfit.items():
        print(f"dropped: task {task!r}: {reason}", file=sys.stderr)
    for name, count in Counter(filter(None, (absent.named(v.reason) for v in verdicts))).items():
        print(f"note: {count} verdicts lack {name}: give --packages {name}", file=sys.stderr)
    counts = Counter(verdict.verdict for verdict in verdicts)
    for outcome in OUTCOMES:
        if counts[outcome]:
            print(f"{outcome:<15}{counts[outcome]:>8}  {counts[outcome] / len(verdicts):7.2%}")


def read_jobs(
    problems: Path, samples: Path, form: str = "", max_bad: int = MAX_BAD
) -> Iterator[Job | Verdict]:
    """The jobs of a file of samples, in its order.

    A sample that is bad, or whose problem is, has a verdict in place of a job: infrastructure.

    Raises SeedbedError for too many bad lines, for two problems of one task_id, and for unknown
    tasks.
    """
    known, bad = problem_files.read(problems, form, max_bad), BadRows(samples, max_bad)
    for number, row in problem_files.samples(samples, bad):
        name = row["task_id"]
        if str(name) in known.bad and str(name) not in known.good:
            yield _unjudged(name, f"the problem is skipped: {known.bad[str(name)]}")
            continue
        if str(name) not in known.good:
            raise SeedbedError(
                f"{samples}:{number} is a sample of task {name!r}, which {problems} does not have.",
                "Give the problems file that the samples were drawn for.",
            )
        asked = known.good[str(name)].task
        try:
            job = formats.job_of(name, asked, row)
        except SeedbedError as error:
            yield _unjudged(name, f"the sample is skipped: {bad.add(number, error)}")
            continue
        yield job


def _unjudged(task: str | int, reason: str) -> Verdict:
    return Verdict(task, "infrastructure", reason[:500], 0.0, 0.0, 0)


def _check(arguments: argparse.Namespace) -> int:
    interpreter = of_flags(arguments)
    found = host.primitives(interpreter)
    if found.get("the whole sandbox", (False, ""))[0]:
        found |= probes.interpreter(interpreter)
    for name, (given, detail) in found.items():
        print(f"{'yes' if given else 'NO':<5}{name:<22}{detail}")
    for title, (given, detail) in installed.check().items():
        print(f"{'yes' if given else '-':<5}{title:<22}{detail}")
    return 0 if found.get("the whole sandbox", (False, ""))[0] else 1


if __name__ == "__main__":
    run_cli(main)
