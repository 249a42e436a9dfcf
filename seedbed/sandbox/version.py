"""A version of the sandbox: what decides a verdict besides the program, the tests and limits."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from seedbed.sandbox.interpreter import Interpreter

# The interpreter of this process.
_OWN = Interpreter()


@cache
def version(interpreter: Interpreter = _OWN, folder: Path = Path(__file__).parent) -> str:
    """12 hex digits of a SHA-256 over the sandbox's sources and what judges.

    That is the interpreter's version, and its packages with theirs. folder: where the sources lie.
    """
    judges = interpreter.describe()
    digest = hashlib.sha256(repr((judges.version, judges.packages)).encode())
    for file in sorted(folder.rglob("*.py")):
        digest.update(
            file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0"
        )
    return digest.hexdigest()[:12]
