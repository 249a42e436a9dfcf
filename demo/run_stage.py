"""One stage as a program of its own, its output on the terminal and in a file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from conf.errors import SeedbedError
from demo.stages import Stage
from seedbed.processes import die_with_parent


def run_stage(stage: Stage, log: Path) -> float:
    """Run one stage, its output on the terminal and in `log`; seconds.

    Raises SeedbedError when it fails.
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
            f"stage {stage.name} ended with exit code {code}: {' '.join(stage.command)}",
            f"read {log}, mend the cause and run the same command again: it goes on where it stopped",
        )
    return time.monotonic() - started
