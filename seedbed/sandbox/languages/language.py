"""What the sandbox must know of a language: its tools on this host, and how they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


class MissingTool(Exception):
    """The host lacks a tool of the language. The message names it and says how to install it."""


@dataclass(frozen=True)
class Invocation:
    """One command and what its jail holds: {box} is the folder of its own files.

    mounts: host paths that it may read, each with its path inside.

    Further placeholders are {file}, {main} (Language.layout), {memory_mb}, and {beside}, which is
    "yes" where tests stand beside the program.
    """

    command: tuple[str, ...]
    mounts: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Toolchain:
    """A language's tools as they are on this host.

    version: in words; a part of the key under which compiled programs are kept.
    compiler: None where the source runs as it is. output: what it makes, a path or "." for all.
    memory: what the kernel limits. Go, V8 and the JVM reserve far more address space than they use,
        so for them it is RLIMIT_DATA, private writable memory.
    memory_floor: bytes that an empty program takes. threads: that the runtime starts for itself.
    writes_code: whether the program maps executable memory (JIT compilers, shared libraries).
    """

    version: str
    compiler: Invocation | None
    program: Invocation
    output: str = "program"
    memory: Literal["RLIMIT_AS", "RLIMIT_DATA"] = "RLIMIT_AS"
    memory_floor: int = 8 << 20
    threads: int = 0
    writes_code: bool = False
    compiler_memory: Literal["RLIMIT_AS", "RLIMIT_DATA"] = "RLIMIT_DATA"


def _plain(source: str) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Language:
    """A language that the sandbox judges besides Python.

    name: as in Job.language. others: further names by which data sets call it.
    file: name of the source file. find: looks for the tools; raises MissingTool.
    memory_words: what its runtime says on stderr when memory ends. It only names a failure.
    layout: from a source what {file} and {main} are in the commands, where they depend on it.
    library: further source files that tests beside the program may use: pairs of path and text.
    """

    name: str
    title: str
    file: str
    find: Callable[[], Toolchain]
    others: tuple[str, ...] = ()
    memory_words: tuple[str, ...] = ()
    layout: Callable[[str], dict[str, str]] = field(default=_plain)
    library: tuple[tuple[str, str], ...] = ()
