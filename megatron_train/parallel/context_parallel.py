"""Context parallelism: one sequence spread over cp processes, each with two of its 2 * cp chunks.

Process r holds chunks r and 2 cp - 1 - r, as in megatron-core's get_batch_on_this_cp_rank and its
rotary positions. Under a causal mask the two see (r + 1) + (2 cp - r) = 2 cp + 1 chunks of keys
together. So every process has the same work. Keys and values are gathered; queries stay where
they are.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.tensor_parallel.mappings import gather_from_sequence_parallel_region


def size() -> int:
    return parallel_state.get_context_parallel_world_size()


def rank() -> int:
    return parallel_state.get_context_parallel_rank()


def chunks_of(process: int) -> tuple[int, int]:
    """The two of the 2 * cp chunks that a process holds, in the order in which it holds them."""
    return process, 2 * size() - 1 - process


def cut(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """This process's part of a micro-batch: its columns of every [b, s] tensor, the rest whole.

    s must divide by 2 * cp.
    """
    if size() == 1:
        return batch
    whole = batch["tokens"].shape
    return {
        name: _take(value, dim=1) if value.shape[:2] == whole else value
        for name, value in batch.items()
    }


def join(part: torch.Tensor) -> torch.Tensor:
    """[b, s / cp] of every process -> [b, s] in the order of the sequence; collective.

    Every process gets the result, which has no gradient.
    """
    if size() == 1:
        return part
    parts = [torch.empty_like(part) for _ in range(size())]
    dist.all_gather(parts, part.contiguous(), group=parallel_state.get_context_parallel_group())
    return _in_order([half for one in parts for half in one.chunk(2, dim=1)], dim=1)


def gather_keys(part: torch.Tensor) -> torch.Tensor:
    """Keys or values [s / cp, ...] of this process -> [s, ...] in the order of the sequence.

    The backward pass sums the gradient back to each process.
    """
    gathered = gather_from_sequence_parallel_region(
        part, tensor_parallel_output_grad=True, group=parallel_state.get_context_parallel_group()
    )
    return _in_order(list(gathered.chunk(2 * size(), dim=0)), dim=0)


def _take(value: torch.Tensor, dim: int) -> torch.Tensor:
    chunks = value.chunk(2 * size(), dim)
    return torch.cat([chunks[i] for i in chunks_of(rank())], dim)


def _in_order(held: list[torch.Tensor], dim: int) -> torch.Tensor:
    """Chunks as the processes hold them, one process after the other -> the sequence."""
    order = [chunk for process in range(size()) for chunk in chunks_of(process)]
    return torch.cat([held[order.index(chunk)] for chunk in range(2 * size())], dim)
