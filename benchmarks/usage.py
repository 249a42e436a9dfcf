"""Measures time and memory of a command and all its child processes."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

KINDS = ("driver JVM", "executor JVM", "Sail", "Python driver", "Python worker")


def measure(
    command: list[str],
    look: Callable[[float], None] | None = None,
    pss: bool = False,
    **options: Any,
) -> dict[str, float]:
    """Run `command` and measure its process tree.

    look: gets the CPU seconds so far, ten times a second.
    pss: measure the proportional set, which counts a page that processes share once in all
        (proc(5), smaps_rollup). It takes the kernel longer, so it is sampled twice a second.

    Returns wall seconds, CPU seconds and the largest resident sets in MB: of all, and by KINDS.
    """
    started = time.monotonic()
    peak = dict.fromkeys(("MB", *KINDS), 0)
    spent: dict[tuple[int, float], float] = {}
    with tempfile.TemporaryFile() as log:
        child = psutil.Popen(command, stdout=log, stderr=log, **options)
        while child.poll() is None:
            resident = dict.fromkeys(peak, 0)
            for process in _tree(child):
                try:
                    times = process.cpu_times()
                    size = _pss(process.pid) if pss else process.memory_info().rss
                    spent[process.pid, process.create_time()] = times.user + times.system
                    resident["MB"] += size
                    kind = kind_of(process, child)
                    resident[kind] = max(resident[kind], size)
                except psutil.Error:
                    continue
            peak = {key: max(value, resident[key]) for key, value in peak.items()}
            if look:
                look(sum(spent.values()))
            time.sleep(0.5 if pss else 0.1)
        if look:
            look(sum(spent.values()))
        if child.returncode:
            log.seek(0)
            sys.exit(f"{' '.join(command)[:200]} failed:\n{log.read().decode()[-3000:]}")
    sizes = {key: value / 1e6 for key, value in peak.items()}
    return {"wall": time.monotonic() - started, "cpu": sum(spent.values()), **sizes}


def kind_of(process: psutil.Process, command: psutil.Process) -> str:
    """Which of KINDS `process` is; it belongs to the tree under `command`."""
    if process.pid == command.pid:
        return "Python driver"
    if process.name() != "java":
        server = "spark_jobs.runtime.engines.sail_server"
        return "Sail" if server in process.cmdline() else "Python worker"
    return (
        "executor JVM"
        if "org.apache.spark.executor.CoarseGrainedExecutorBackend" in process.cmdline()
        else "driver JVM"
    )


def memory(found: dict[str, float]) -> str:
    return ", ".join(f"{kind} {found[kind]:,.0f} MB" for kind in KINDS if found[kind])


def _pss(pid: int) -> int:
    """The proportional set in bytes; 0 for a process that ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []
