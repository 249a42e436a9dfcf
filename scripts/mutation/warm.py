"""Runs pytest again and again in forks of one process that has imported what is slow to import.

It is started in a copy of the project, as a file, and never imports the project itself: that is
done by each fork, which so meets the mutant. One JSON object a line comes in
({"tests": [...], "limit": seconds}), one goes out ({"code": ..., "seconds": ..., "log": ...}).
code: pytest's exit status; -1 for a run that was ended at its limit.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import time

import pytest

OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"]
OPTIONS += ["-m", "not slow and not gpu"]


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    # What tests print must not get between the answers.
    os.dup2(2, 1)
    for line in sys.stdin:
        order = json.loads(line)
        if "preload" in order:
            answer = {"modules": preload(order["preload"])}
        else:
            answer = run(order["tests"], order["limit"], order["log"])
        print(json.dumps(answer), file=answers, flush=True)


def preload(tests: list[str]) -> int:
    """Import what the tests import and is not of this project; how many modules that were."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        quiet(os.devnull)
        pytest.main([*OPTIONS, "--collect-only", *tests])
        with os.fdopen(writing, "w") as pipe:
            pipe.write("\n".join(name for name, module in sys.modules.items() if foreign(module)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        names = pipe.read().split()
    os.waitpid(child, 0)
    for name in names:
        # Some names are no modules that can be imported by themselves.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    return len(names)


def foreign(module: object) -> bool:
    """Whether a module has a file, and that is not of the project."""
    file = getattr(module, "__file__", None)
    return (
        bool(file) and not file.startswith(os.getcwd() + os.sep) and module.__name__ != "__main__"
    )


def run(tests: list[str], limit: float, log: str) -> dict:
    begin = time.monotonic()
    child = os.fork()
    if not child:
        os.setsid()
        quiet(log)
        code = 3
        try:
            code = int(pytest.main([*OPTIONS, "--basetemp", f"{log}.tmp", *tests]))
        finally:
            os._exit(code)
    code = None
    while code is None and time.monotonic() - begin < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
        else:
            time.sleep(0.01)
    # What tests started goes too.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if code is None:
        os.waitpid(child, 0)
    return {"code": -1 if code is None else code, "seconds": time.monotonic() - begin}


def quiet(path: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)


if __name__ == "__main__":
    main()
