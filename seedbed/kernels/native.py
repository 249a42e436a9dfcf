"""Compiles every kernel the same way: numba, no GIL, no fast-math, cached on disk where possible.

Compilation is lazy, so a command line that only prints help pays nothing. It takes seconds once per
machine; later workers load the machine code in milliseconds. numba refuses to decorate at all when
it can write neither to the source folder nor to the user's cache folder, as in a read-only install
under a locked-down account. Then each worker compiles for itself.

numba's cache checks only the source file of the compiled function. It would keep a kernel that
calls an edited kernel of another file. So every state of all kernel files together has a cache
folder of its own. What an archive brings (`make dist`) is found in it, wherever it is unpacked.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CacheImpl, InTreeCacheLocator

_HERE = Path(__file__).parent


def source_hash(folder: Path) -> str:
    """The first 16 hex digits of the SHA-256 over all Python files under `folder`, by path."""
    sources = sorted(folder.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


_CACHE = _HERE / "__pycache__" / f"numba-{source_hash(_HERE)}"


class KernelFolder(InTreeCacheLocator):  # type: ignore[misc]
    """The folder of a kernel's machine code, below the sources of all kernels.

    numba's own places go by the path of the source file and by its time. So they would lose what
    was compiled before a move.
    """

    def __init__(self, function: Callable[..., Any], file: str):
        super().__init__(function, file)
        self._cache_path = str(_CACHE / Path(file).parent.relative_to(_HERE))

    def get_source_stamp(self) -> str:
        """The folder's name tells the state of the sources already."""
        return _CACHE.name

    def ensure_cache_path(self) -> None:
        """Raise OSError where nothing can be written and nothing can be read."""
        if not _read_only():
            super().ensure_cache_path()

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> KernelFolder | None:
        """None for a function of somebody else, and where the folder cannot be made."""
        if not Path(file).is_relative_to(_HERE):
            return None
        return super().from_function(function, file)  # type: ignore[no-any-return]


def _read_only() -> bool:
    """Whether there is machine code in a place where this account cannot write."""
    return _CACHE.is_dir() and not os.access(_CACHE, os.W_OK)


# Who names a folder for all of numba's code gets it there.
if not numba.config.CACHE_DIR and not numba.config.CACHE_LOCATOR_CLASSES:
    others = [locator.__name__ for locator in CacheImpl._locator_classes]
    numba.config.CACHE_LOCATOR_CLASSES = ",".join([f"{__name__}.{KernelFolder.__name__}", *others])


def native(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, compiled on its first call.

    Integer arithmetic wraps, as in C. Indices are not checked.
    """
    try:
        compiled = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return numba.njit(nogil=True)(function)
    if _read_only():
        # What is compiled for another processor stays in this process.
        compiled._cache.save_overload = lambda *_: None
    return compiled
