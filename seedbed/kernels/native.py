"""The one way kernels are compiled: numba, no GIL, no fast-math, cached on disk where a place for
the cache can be found.

Compilation is lazy (a command line that only prints help pays nothing) and takes seconds once per
machine; later workers load the machine code in milliseconds. numba refuses to decorate at all when
neither the source folder nor the user's cache folder can be written, as in a read-only install
under a locked-down account: then each worker compiles for itself.

numba's cache looks at the source file of the function alone, and would go on with a kernel that
calls an edited one of another file. So every state of all kernels together has a cache of its own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

_HERE = Path(__file__).parent


def _state() -> str:
    return hashlib.sha256(
        b"".join(path.read_bytes() for path in sorted(_HERE.glob("*.py")))
    ).hexdigest()[:16]


# an install that cannot be written is not edited either
if os.access(_HERE, os.W_OK) and not numba.config.CACHE_DIR:
    numba.config.CACHE_DIR = str(_HERE / "__pycache__" / f"numba-{_state()}")


def native(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled on first call.

    Integer arithmetic wraps, as in C; indices are not checked.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return numba.njit(nogil=True)(function)
