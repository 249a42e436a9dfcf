"""Lifts limits that a build of CPython imposes, and that other builds or machines do not have.

- 3.12 and 3.13 count the C frames of a thread, whatever its stack holds. A function under
  `lru_cache` takes three, so 3.12.1 ends it at 498 levels, where 3.11 does 16,000. The counter is a
  field of the thread state (c_recursion_remaining in Include/cpython/pystate.h). It is found by
  looking for the recursion limit beside it, and is used only where a deep call then works.
- Integers above 4,300 digits have no text.
- A stack of 8 MB, which the counter above is meant to guard.
"""

from __future__ import annotations

import _thread
import ctypes
import sys
from collections.abc import Callable
from typing import Any

from .syscalls import STACK_BYTES

# Stack of a thread, where a program asks for none: the usual limit of Linux.
THREAD_STACK_BYTES = 8 << 20
# Bytes of stack that one counted C frame takes. Measured on 3.12.1 and 3.13.0: 175 for a memoised
# function, 260 to 400 for `map` and constructors.
_FRAME_BYTES = 512
# Bytes of the thread state that are searched. The field lies in the first 64.
_SEARCHED = 128

_state: Any = ctypes.pythonapi.PyThreadState_Get
_state.restype = ctypes.c_void_p
_set_stack_size = _thread.stack_size
# Stack of the threads that start from now on.
_thread_stack = THREAD_STACK_BYTES
# Bytes from the thread state to the counter; 0 where this build has none, or it was not found.
_offset = 0


def lift() -> None:
    """Lift what can be lifted, for this process and those forked from it."""
    global _offset
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    # glibc takes the stack limit of the main thread as the size of all stacks.
    stack_of_threads(THREAD_STACK_BYTES)
    _offset = _find()
    if _offset and not _helps():
        _offset = 0
    if _offset:
        allow(STACK_BYTES)
        for name in ("start_new_thread", "start_joinable_thread"):
            if hasattr(_thread, name):
                setattr(_thread, name, _in_lifted_thread(getattr(_thread, name)))
        _thread.start_new = _thread.start_new_thread  # type: ignore[attr-defined]


def allow(stack_bytes: int) -> None:
    """Let the running thread use its whole stack for C frames."""
    if _offset:
        ctypes.c_int.from_address(_state() + _offset).value = stack_bytes // _FRAME_BYTES


def stack_of_threads(size: int) -> None:
    """Give the threads that start from now on a stack of `size` bytes. Raises ValueError."""
    global _thread_stack
    _set_stack_size(size)
    _thread_stack = size


def _in_lifted_thread(start: Callable[..., Any]) -> Callable[..., Any]:
    def start_thread(function: Any, *arguments: Any, **keywords: Any) -> Any:
        if not callable(function):
            return start(function, *arguments, **keywords)

        def run(*given: Any, **named: Any) -> Any:
            allow(_thread_stack)
            return function(*given, **named)

        return start(run, *arguments, **keywords)

    return start_thread


def _find() -> int:
    """Where the counter lies: behind the one word that follows sys.setrecursionlimit."""
    if sys.version_info[:2] not in ((3, 12), (3, 13)):
        return 0
    before, places = sys.getrecursionlimit(), set(range(0, _SEARCHED, 4))
    for limit in (before + 1234, before + 4321):
        sys.setrecursionlimit(limit)
        places &= {at for at in places if _word(at) == limit}
    sys.setrecursionlimit(before)
    if len(places) != 1:
        return 0
    found = places.pop() + 4
    # 1,500 in 3.12, 10,000 in 3.13, less the frames that are in use.
    return found if 1000 < _word(found) <= 10_000 else 0


def _word(at: int) -> int:
    return ctypes.c_int.from_address(_state() + at).value


def _helps() -> bool:
    """Whether a larger counter lets a memoised function go deeper than before."""
    from functools import lru_cache

    @lru_cache(None)
    def descend(levels: int) -> int:
        return levels and descend(levels - 1)

    kept, before = _word(_offset), sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        allow(6 << 20)
        descend(4_000)
        return True
    except RecursionError:
        ctypes.c_int.from_address(_state() + _offset).value = kept
        return False
    finally:
        sys.setrecursionlimit(before)
