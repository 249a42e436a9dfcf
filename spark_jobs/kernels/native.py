"""The one way kernels are compiled: numba, no GIL, no fast-math, cached on disk where a place for the cache can be found.

Compilation is lazy (a command line that only prints help pays nothing) and takes seconds once per machine; later workers
load the machine code in milliseconds. numba refuses to decorate at all when neither the source folder nor the user's cache
folder can be written, as in a read-only install under a locked-down account: then each worker compiles for itself.
numba's cache looks at one source file only: after an edit to a kernel that kernels of other files call, delete __pycache__.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def native(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled on first call. Integer arithmetic wraps, as in C; indices are not checked."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return numba.njit(nogil=True)(function)
