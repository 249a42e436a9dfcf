"""Work of one process with its result on all: what only process 0 can do (engine, sandbox, files), and each one's share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch.distributed as dist
from megatron.core import parallel_state

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


def from_shares(mine: Sequence[T], total: int) -> list[T]:
    """All `total` results, on every process, where item i was the work of data-parallel process i % dp (as rl/batches.py
    shares examples out) and `mine` are this one's in order; collective."""
    dp = parallel.dp_size()
    shares: list[Sequence[T]] = [()] * dp
    dist.all_gather_object(shares, list(mine), group=parallel_state.get_data_parallel_group())
    return [shares[i % dp][i // dp] for i in range(total)]
