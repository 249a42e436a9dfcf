"""Runs one stage of the demo as a program of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from conf.errors import SeedbedError
from demo.stages import Stage
from seedbed.processes import die_with_parent


def run_stage(stage: Stage, log: Path) -> float:
    """Runs a stage, with its output on the terminal and in `log`. Gives the seconds it took.

    Raises SeedbedError for any exit code but 0, and for a stage that a signal killed.
    """
    started = time.monotonic()
    with log.open("wb") as keep:
        environment = os.environ | stage.environment
        process = subprocess.Popen(
            stage.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            preexec_fn=die_with_parent,
        )
        assert process.stdout is not None
        while chunk := process.stdout.read1(65536):  # type: ignore[attr-defined]
            keep.write(chunk)
            sys.stdout.buffer.write(chunk)
            sys.stdout.flush()
        code = process.wait()
    if code != 0:
        raise SeedbedError(
            f"stage {stage.name} {_end(code)}: {' '.join(stage.command)}",
            f"read {log}, remove the cause and run the same command again: "
            "it goes on where it stopped",
        )
    return time.monotonic() - started


def _end(code: int) -> str:
    """How a process ended, by its code from subprocess: below 0 a signal killed it."""
    if code > 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    if -code == signal.SIGKILL:
        return f"was killed by {name}, as the system does when memory runs out"
    return f"was killed by {name}"
