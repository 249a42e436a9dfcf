"""Puts mutants into a copy of the project, one at a time, and runs the tests of the file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conf.errors import SeedbedError
from scripts.mutation.mutants import Mutant
from scripts.mutation.records import HERE, ROOT

# What is not copied: environments, outputs and caches.
_LEFT_OUT = (".venv", ".git", "runs", "build", "dist", "downloads", "__pycache__", ".hypothesis")
_LEFT_OUT += (".*_cache",)
# A mutant's tests may take _PATIENCE times as long as those of the code as it is, and _GRACE
# seconds more. Then it counts as noticed: it does not end.
_PATIENCE = 4
_GRACE = 10


@dataclass(frozen=True)
class Outcome:
    """noticed: a test failed, or did not end."""

    mutant: Mutant
    noticed: bool
    seconds: float


class Bench:
    """A copy of the project with a process that runs tests in it.

    Kernels run as plain Python, since compiling each mutant would take seconds.
    """

    def __init__(self, folder: Path):
        self._copy = folder / "project"
        self._log = folder / "log"
        shutil.copytree(ROOT, self._copy, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
        environment = os.environ | {
            "PYTHONPATH": str(self._copy),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_DISABLE_JIT": "1",
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(folder),
        }
        self._process = subprocess.Popen(
            # Without -P the modules beside warm.py would stand before those of the project.
            [sys.executable, "-P", str(HERE / "warm.py")],
            cwd=self._copy,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def _ask(self, **order: object) -> dict:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SeedbedError(
                "the process that runs the tests has ended",
                f"run {HERE / 'warm.py'} by hand to see why",
            )
        return json.loads(answer)

    def _run(self, tests: list[str], limit: float) -> dict:
        shutil.rmtree(self._copy / ".hypothesis", ignore_errors=True)
        return self._ask(tests=tests, limit=limit, log=str(self._log))

    def outcomes(
        self, path: str, tests: list[str], mutants: list[Mutant], until: float
    ) -> Iterator[Outcome]:
        """Runs the mutants of the file in turn until the clock `time.monotonic` shows `until`.

        Raises SeedbedError where the tests fail on the file as it is.
        """
        self._ask(preload=tests)
        plain = self._run(tests, until - time.monotonic())
        if plain["code"] == -1:
            return
        if plain["code"] != 0:
            raise SeedbedError(
                f"the tests of {path} fail without a mutant: {self._end_of_log()}",
                f"mend them: NUMBA_DISABLE_JIT=1 python -m pytest {' '.join(tests)}",
            )
        limit = _PATIENCE * plain["seconds"] + _GRACE
        file = self._copy / path
        source = file.read_text()
        try:
            for mutant in mutants:
                if time.monotonic() > until:
                    return
                file.write_text(mutant.code)
                answer = self._run(tests, limit)
                yield Outcome(mutant, answer["code"] != 0, answer["seconds"])
        finally:
            file.write_text(source)

    def _end_of_log(self) -> str:
        return " / ".join(self._log.read_text().strip().split("\n")[-3:])
