"""Processes and groups: start, stop, who am I, and random numbers that depend on the step and not on history."""

from __future__ import annotations

import datetime
import hashlib
import os
import socket
import warnings
from typing import Any

from megatron_train import cpu

# Import-time notices of missing GPU packages and of torch's own renamings, once a process: fp8.py refuses what matters.
warnings.filterwarnings("ignore", module=r"(megatron|torch\.distributed|torch\.autograd)\b")
cpu.install()

import torch  # noqa: E402  (after the patches: megatron-core must see them)
import torch.distributed as dist  # noqa: E402
from megatron.core import parallel_state  # noqa: E402
from megatron.core.tensor_parallel.random import model_parallel_cuda_manual_seed  # noqa: E402

from conf.schema.pretrain import ParallelConfig, check_world  # noqa: E402

# Rank 0 may write an export or generate samples alone for this long while the others wait.
TIMEOUT = datetime.timedelta(minutes=30)


def start(parallel: ParallelConfig, seed: int) -> None:
    """Join the processes that torchrun started (or be the only one), build megatron's groups and seed.

    Raises SeedbedError, before any group exists, when the processes do not divide by the layout.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    check_world(parallel, None, world)
    if world == 1 and "MASTER_ADDR" not in os.environ:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(_free_port()), RANK="0", WORLD_SIZE="1", LOCAL_RANK="0")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    else:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))  # two threads a rank on two cores are 3x slower
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=TIMEOUT)
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=parallel.tp,
        pipeline_model_parallel_size=parallel.pp,
        context_parallel_size=parallel.cp,
    )
    seed_step(seed, 0)


def stop() -> None:
    parallel_state.destroy_model_parallel()
    dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def world() -> int:
    return dist.get_world_size()


def is_main() -> bool:
    """The one process that writes files and prints."""
    return rank() == 0


def dp_rank() -> int:
    return parallel_state.get_data_parallel_rank()


def dp_size() -> int:
    return parallel_state.get_data_parallel_world_size()


def device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def barrier() -> None:
    dist.barrier()


def broadcast_object(value: Any, src: int = 0) -> Any:
    """`value` of process `src`, on every process."""
    box = [value]
    dist.broadcast_object_list(box, src=src)
    return box[0]


def any_rank(flag: bool) -> bool:
    """True on every process when it is true on one."""
    seen = torch.tensor([int(flag)], device=device())
    dist.all_reduce(seen, op=dist.ReduceOp.MAX)
    return bool(seen.item())


def seed_step(seed: int, step: int) -> None:
    """Set every generator from (seed, step, data-parallel rank): a resumed run, in whatever layout, draws what the first run drew,
    so no generator state has to be saved. megatron-core itself offsets the tensor- and pipeline-parallel generators."""
    digest = hashlib.sha256(f"{seed}:{step}:{dp_rank()}".encode()).digest()
    number = int.from_bytes(digest[:4], "little") >> 1  # megatron-core adds offsets of a few thousand: stay below 2^31
    torch.manual_seed(number)
    model_parallel_cuda_manual_seed(number, force_reset_rng=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
