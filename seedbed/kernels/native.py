"""Compiles every kernel the same way: numba, no GIL, no fast-math, cached on disk where possible.

Compilation is lazy, so a command line that only prints help pays nothing. It takes seconds once per
machine; later workers load the machine code in milliseconds. numba refuses to decorate at all when
it can write neither to the source folder nor to the user's cache folder, as in a read-only install
under a locked-down account. Then each worker compiles for itself.

numba's cache checks only the source file of the compiled function. It would keep a kernel that
calls an edited kernel of another file. So every state of all kernel files together has a cache
folder of its own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

_HERE = Path(__file__).parent


def source_hash(folder: Path) -> str:
    """The first 16 hex digits of the SHA-256 over all Python files under `folder`, by path."""
    sources = sorted(folder.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


# An install that cannot be written is not edited either.
if os.access(_HERE, os.W_OK) and not numba.config.CACHE_DIR:
    numba.config.CACHE_DIR = str(_HERE / "__pycache__" / f"numba-{source_hash(_HERE)}")


def native(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, compiled on its first call.

    Integer arithmetic wraps, as in C. Indices are not checked.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return numba.njit(nogil=True)(function)
