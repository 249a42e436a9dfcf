"""What a jail is told to run: commands with their mounts, files and limits (inside/native/jail)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from seedbed.sandbox.languages import host_tools
from seedbed.sandbox.languages.language import Invocation, Toolchain
from seedbed.sandbox.verdict import Limits

# What one compilation may use. A header-heavy C++ program takes 3 s and 0.5 GB; these are ours.
COMPILER_CPU_SECONDS = 30
COMPILER_WALL_SECONDS = 900.0
# Of each process of the compiler; the JVM of javac and rustc are the largest.
COMPILER_MEMORY = 2 << 30
PROGRAM_BYTES = 64 << 20
# The whole result of a compiler.
RESULT_BYTES = PROGRAM_BYTES + (1 << 20)
_COMPILER_DISK, _COMPILER_FILE, _COMPILER_PROCESSES = 256 << 20, 96 << 20, 64
# Deep recursion is how contestants walk graphs, so a program's stack is a quarter of its memory.
_STACK_PART = 4
# Go, V8 and the JVM size their stacks by settings of their own. The main thread has this.
_RUNTIME_STACK = 16 << 20

Files = Sequence[tuple[str, bytes]]


class Sources:
    """Host paths that fork servers mount, with their numbers."""

    def __init__(self, toolchains: Sequence[Toolchain]) -> None:
        stages = [stage for found in toolchains for stage in (found.compiler, found.program)]
        paths = [source for stage in stages if stage for source, _ in stage.mounts]
        self.paths = tuple(dict.fromkeys(paths))
        self._numbers = {path: number for number, path in enumerate(self.paths)}

    def order(self, stage: Invocation, words: dict[str, str], files: Files) -> dict[str, Any]:
        """The part of an order that both kinds share. words: placeholder -> text."""
        command = tuple(_fill(word, words) for word in stage.command)
        return {
            "command": command,
            "env": stage.env,
            "files": tuple(files),
            "mounts": tuple((self._numbers[source], target) for source, target in stage.mounts),
            "links": host_tools.links() if stage.mounts else (),
        }


def _fill(word: str, words: dict[str, str]) -> str:
    for name, text in words.items():
        word = word.replace(f"{{{name}}}", text)
    return word


def _fixed(cpu_seconds: float) -> dict[str, int]:
    """The kernel counts CPU time by sampling, so its limit is twice ours and only a second net."""
    cpu = math.ceil(2 * cpu_seconds)
    return {"RLIMIT_CPU": cpu, "RLIMIT_CORE": 0, "RLIMIT_MEMLOCK": 0, "RLIMIT_MSGQUEUE": 0}


def of_compiler(order: dict[str, Any], toolchain: Toolchain, alone: bool) -> dict[str, Any]:
    """The order to compile. alone: whether processes can be counted per jail."""
    limits = {
        **_fixed(COMPILER_CPU_SECONDS / 2),
        toolchain.compiler_memory: COMPILER_MEMORY,
        "RLIMIT_NOFILE": 256,
        "RLIMIT_FSIZE": _COMPILER_FILE,
        "RLIMIT_STACK": 64 << 20,
        **({"RLIMIT_NPROC": _COMPILER_PROCESSES} if alone else {}),
    }
    given = tuple(path for path, _ in order["files"])
    return {
        **order,
        "env": (*order["env"], ("TMPDIR", "{box}")),
        "disk": _COMPILER_DISK,
        "writable": True,
        "limits": limits,
        "outputs": {"path": toolchain.output, "bytes": PROGRAM_BYTES, "but": given},
    }


def of_program(
    order: dict[str, Any], toolchain: Toolchain, limits: Limits, alone: bool
) -> dict[str, Any]:
    """The order to run a program."""
    threads = limits.threads + toolchain.threads
    return {
        **order,
        "disk": 512 << 20,
        "writable": False,
        "writes_code": toolchain.writes_code,
        "counted": toolchain.memory == "RLIMIT_DATA",
        "limits": {
            **_fixed(limits.cpu_seconds),
            toolchain.memory: toolchain.memory_floor + limits.memory_bytes,
            "RLIMIT_NOFILE": 64,
            "RLIMIT_FSIZE": 0,
            "RLIMIT_STACK": _stack(toolchain, limits),
            **({"RLIMIT_NPROC": threads} if alone else {}),
        },
    }


def _stack(toolchain: Toolchain, limits: Limits) -> int:
    if toolchain.memory == "RLIMIT_DATA":
        return _RUNTIME_STACK
    return limits.memory_bytes // _STACK_PART
