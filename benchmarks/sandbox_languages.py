"""Seconds that a compilation and a verdict take, per language.

    python -m benchmarks.sandbox_languages [LANGUAGE ...]

The program adds two numbers. CPU seconds are those of every process below this one, so they depend
little on what else the machine does. Wall-clock figures do.
"""

from __future__ import annotations

import resource
import sys
import time

from seedbed.sandbox import Job, Sandbox, StdioTests
from seedbed.sandbox.languages import LANGUAGES, installed
from seedbed.sandbox.languages.language import MissingTool
from tests.seedbed.sandbox.languages.test_languages import SUMS

RUNS = 20
TESTS = StdioTests(("3 4\n",), ("7\n",))


def cpu() -> float:
    """CPU seconds of all processes that ended below this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(name: str, more: int) -> tuple[float, float]:
    """CPU seconds of a sandbox that judges 1 + more programs, and wall seconds of the `more`."""
    before, wall = cpu(), 0.0
    with Sandbox(1) as sandbox:
        for count in (1, more):
            started = time.monotonic()
            jobs = (Job(n, SUMS[name], TESTS, language=name) for n in range(count))
            found = {verdict.verdict for verdict in sandbox.run(jobs)}
            wall = time.monotonic() - started
            assert found <= {"pass"}, found
    return cpu() - before, wall


def main() -> None:
    """Print one row per language that is installed."""
    print("language | compile, CPU s | a verdict, CPU ms | verdicts/s, one worker")
    idle = cpu()
    Sandbox(1).close()
    idle = cpu() - idle
    for name in sys.argv[1:] or LANGUAGES:
        try:
            installed.toolchain(name)
        except MissingTool as error:
            print(f"{name} | {error}")
            continue
        one, _ = measured(name, 0)
        many, wall = measured(name, RUNS)
        each, rate = (many - one) / RUNS, RUNS / wall
        print(f"{name} | {one - each - idle:.2f} | {1000 * each:.1f} | {rate:.1f}", flush=True)


if __name__ == "__main__":
    main()
