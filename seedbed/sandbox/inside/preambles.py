"""Stand-ins for what contest programs do before they begin, and a jail cannot or need not do.

Such programs raise the stack limit, ask for thread stacks of 512 MB, open /dev/stdin, or start a
pool of processes. A refusal would be an error that no judge gives. The stand-ins run in the jail,
and weaken nothing: the kernel's limits hold whatever they answer.
"""

from __future__ import annotations

import _thread
import builtins
import importlib
import importlib.machinery
import io
import os
import resource
import sys
from types import ModuleType
from typing import Any

from . import lift

_THREADED_NAMES = """
    Pool Process Queue JoinableQueue Manager Pipe Lock RLock Semaphore BoundedSemaphore
    Condition Event Barrier Value Array current_process active_children
"""
# What takes the place of processes: the same interface with threads.
_THREADED = _THREADED_NAMES.split()
_NAMES = {
    "/dev/stdin": 0,
    "/dev/stdout": 1,
    "/dev/stderr": 2,
    "/dev/null": 2,
    **{
        f"{place}/{number}": number
        for place in ("/dev/fd", "/proc/self/fd")
        for number in (0, 1, 2)
    },
}


# Names that scripts expect, which the module `site` adds.
OF_SCRIPTS = ("exit", "quit")


def name_exits() -> None:
    """Define OF_SCRIPTS, which the fork server does for its jails.

    A name that is new among the built-in ones would undo what the interpreter has specialised.
    """
    vars(builtins).update(dict.fromkeys(OF_SCRIPTS, sys.exit))


def install(memory_bytes: int) -> None:
    """Put the stand-ins in place. memory_bytes: what the program may use."""
    _resources()
    _stack_size(memory_bytes // 2)
    _device_files()
    sys.meta_path.insert(0, _ThreadedProcesses())


def _resources() -> None:
    """Raising a limit succeeds and changes nothing."""
    said: dict[int, tuple[int, int]] = {}
    real = resource.getrlimit

    def setrlimit(kind: int, limits: tuple[int, int], /) -> None:
        real(kind)
        soft, hard = limits
        said[kind] = (int(soft), int(hard))

    def getrlimit(kind: int, /) -> tuple[int, int]:
        return said.get(kind) or real(kind)

    resource.setrlimit, resource.getrlimit = setrlimit, getrlimit


def _stack_size(most: int) -> None:
    """A thread's stack counts as memory. One that is too large is cut to `most` bytes."""
    said = [0]

    def stack_size(size: int = 0, /) -> int:
        before = said[0]
        lift.stack_of_threads(min(size, most) or lift.THREAD_STACK_BYTES)
        said[0] = size
        return before

    _thread.stack_size = stack_size
    threading: Any = sys.modules.get("threading")
    if threading is not None:
        threading.stack_size = stack_size


def _device_files() -> None:
    """The names of the standard streams, which a jail without /dev and /proc lacks."""
    real_open, real_os_open = io.open, os.open

    def open(file: Any, *arguments: Any, **keywords: Any) -> Any:
        number = _NAMES.get(file) if type(file) is str else None
        if number is not None:
            file = os.dup(number)
        return real_open(file, *arguments, **keywords)

    def os_open(path: Any, *arguments: Any, **keywords: Any) -> int:
        number = _NAMES.get(path) if type(path) is str else None
        if number is not None:
            return os.dup(number)
        return real_os_open(path, *arguments, **keywords)

    open.__doc__ = real_open.__doc__
    builtins.open = io.open = open  # type: ignore[assignment]
    os.open = os_open


class _ThreadedProcesses:
    """Imports `multiprocessing` and process pools with threads in place of processes."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in ("multiprocessing", "concurrent.futures"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader:
    def __init__(self, real: Any):
        self._real = real

    def create_module(self, spec: Any) -> Any:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._real.exec_module(module)
        if module.__name__ == "concurrent.futures":
            futures: Any = module
            module.__dict__["ProcessPoolExecutor"] = futures.ThreadPoolExecutor
            return
        dummy: Any = importlib.import_module("multiprocessing.dummy")
        context: Any = importlib.import_module("multiprocessing.context")
        threading: Any = importlib.import_module("threading")
        dummy.Value.get_lock = lambda self: vars(self).setdefault("_guard", threading.RLock())
        for name in _THREADED:
            threaded = getattr(dummy, name)
            setattr(module, name, threaded)
            setattr(context.BaseContext, name, staticmethod(threaded))
            setattr(context.DefaultContext, name, staticmethod(threaded))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
