"""Work that only process 0 can do (engine, sandbox, files), with its result, or its fault, on every process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from conf.errors import SeedbedError
from megatron_train import parallel

T = TypeVar("T")


def on_main(work: Callable[[], T]) -> T:
    """`work()` of process 0, on every process; collective. The result is plain data. A SeedbedError is raised on all of them,
    so that none waits for a process that gave up."""
    outcome: tuple[str, object] = ("", None)
    if parallel.is_main():
        try:
            outcome = ("value", work())
        except SeedbedError as error:
            outcome = ("fault", (error.problem, error.fix))
    kind, value = parallel.broadcast_object(outcome)
    if kind == "fault":
        raise SeedbedError(*value)  # type: ignore[misc]
    return value  # type: ignore[return-value]
