"""Processes and groups: start and stop, ranks, collectives, and random numbers for each step."""

from __future__ import annotations

import datetime
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.tensor_parallel.random import model_parallel_cuda_manual_seed

from conf.errors import SeedbedError, disk_fault, run_cli
from conf.schema.layout import ParallelConfig
from conf.schema.pretrain import check_world
from megatron_train.parallel import cpu_backend
from megatron_train.parallel.meeting import of_this_life
from seedbed.processes import die_with_parent

T = TypeVar("T")

# So long may process 0 write an export or generate samples alone while the others wait.
TIMEOUT = datetime.timedelta(minutes=30)


def start(parallel: ParallelConfig, seed: int) -> None:
    """Join the processes that torchrun started, build megatron-core's groups, and seed.

    Without torchrun this process is the only one.

    Raises:
        SeedbedError: before any group exists, where the processes do not divide by the layout.
    """
    world = started_world()
    check_world(parallel, None, world)
    cpu_backend.install()
    alone = world == 1 and "MASTER_ADDR" not in os.environ
    if alone:
        os.environ.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    else:
        # Two threads in each process on two cores were 3 times slower.
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    # In a stage plan the next run may have another layout.
    if dist.is_initialized():
        parallel_state.destroy_model_parallel()
    else:
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        # One process meets no other, so it needs no port, which another program could take first.
        meeting = {"store": dist.HashStore(), "rank": 0, "world_size": 1} if alone else {}
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            meeting = _meeting_of_this_life()
        dist.init_process_group(backend, timeout=TIMEOUT, **meeting)
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=parallel.tp,
        pipeline_model_parallel_size=parallel.pp,
        virtual_pipeline_model_parallel_size=parallel.vpp if parallel.vpp > 1 else None,
        context_parallel_size=parallel.cp,
        expert_model_parallel_size=parallel.ep,
        expert_tensor_parallel_size=1,
    )
    seed_step(seed, 0)


def _meeting_of_this_life() -> dict[str, Any]:
    """What init_process_group is given under torchrun, whose store outlives a restart."""
    store, rank, world = next(dist.rendezvous("env://", timeout=TIMEOUT))
    store = of_this_life(store, rank, world, TIMEOUT)
    return {"store": store, "rank": rank, "world_size": world}


def started_world() -> int:
    """How many processes torchrun started; 1 where it was not used.

    Raises:
        SeedbedError: where its variables are there in part, or hold no number.
    """
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    there = [name for name in names if name in os.environ]
    fix = f"start with torchrun, which sets them all, or unset {', '.join(names)}"
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"):
        value = os.environ.get(name, "0")
        if not value.isdecimal():
            raise SeedbedError(f"{name}={value!r} is no whole number", fix)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    # Alone, this process sets RANK and WORLD_SIZE itself, and may start another run after it.
    alone = world == 1 and os.environ.get("RANK", "0") == "0" and "MASTER_ADDR" not in there
    if not alone and len(there) < len(names):
        missing = [name for name in names if name not in there]
        raise SeedbedError(
            f"{', '.join(f'{name}={os.environ[name]}' for name in there)} is set, but not "
            f"{', '.join(missing)}",
            fix,
        )
    if world < 1 or not 0 <= int(os.environ.get("RANK", "0")) < world:
        raise SeedbedError(
            f"RANK={os.environ.get('RANK', '0')} does not lie below WORLD_SIZE={world}", fix
        )
    return world


def pretend(parallel: ParallelConfig, rank: int, world: int) -> None:
    """Be process `rank` of `world` processes that do not exist, for plans.

    Groups can be asked about; communication does nothing.
    """
    from torch.testing._internal.distributed.fake_pg import FakeStore

    check_world(parallel, None, world)
    cpu_backend.install()
    dist.init_process_group("fake", rank=rank, world_size=world, store=FakeStore())
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=parallel.tp,
        pipeline_model_parallel_size=parallel.pp,
        virtual_pipeline_model_parallel_size=parallel.vpp if parallel.vpp > 1 else None,
        context_parallel_size=parallel.cp,
        expert_model_parallel_size=parallel.ep,
        expert_tensor_parallel_size=1,
        create_gloo_process_groups=False,
    )
    seed_step(0, 0)


def run_ranks(main: Callable[[list[str]], int | None]) -> None:
    """`run_cli` for an entry point that torchrun starts in several processes.

    An error that all processes share is printed once: the others wait until process 0 has printed
    it, and torchrun ends them. If torchrun itself is killed, they end too, because a run that is
    started again must not write beside them.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        die_with_parent()

    def patient(argv: list[str]) -> int | None:
        try:
            return main(argv)
        except SeedbedError:
            if rank() != 0:
                time.sleep(5)
            raise
        except RuntimeError as error:
            if not is_lost_peer(error):
                raise
            raise SeedbedError(
                f"process {rank()} lost contact with another one: that one died, and said why "
                "above if it could",
                "mend what it says, and start the same command again",
            ) from error

    run_cli(patient)


def stop() -> None:
    """Leave the groups, and the variables that `start` set for a process that is the only one."""
    if dist.is_initialized():
        parallel_state.destroy_model_parallel()
        dist.destroy_process_group()
    if "MASTER_ADDR" not in os.environ:
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            os.environ.pop(name, None)


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def world() -> int:
    return dist.get_world_size()


def is_main() -> bool:
    """Whether this is process 0, the one that writes files and prints."""
    return rank() == 0


def dp_rank() -> int:
    return parallel_state.get_data_parallel_rank()


def dp_size() -> int:
    return parallel_state.get_data_parallel_world_size()


def device() -> torch.device:
    return (
        torch.device("cuda", torch.cuda.current_device())
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def barrier() -> None:
    # Without device_ids NCCL would guess the device from the rank.
    if dist.is_initialized():
        dist.barrier(
            device_ids=[torch.cuda.current_device()] if torch.cuda.is_available() else None
        )


def broadcast_object(value: Any, src: int = 0) -> Any:
    """`value` of process `src`, on every process."""
    box = [value]
    dist.broadcast_object_list(box, src=src)
    return box[0]


def on_main(work: Callable[[], T]) -> T:
    """`work()` of process 0, on every process; collective. The result is plain data.

    Raises:
        SeedbedError: that of process 0, on every process, so that none waits for one that gave up.
            A full or closed disk is one as well.
    """
    outcome: tuple[str, object] = ("", None)
    if is_main():
        try:
            outcome = ("value", work())
        except (SeedbedError, OSError) as error:
            fault = disk_fault(error) if isinstance(error, OSError) else error
            if fault is None:
                raise
            outcome = ("fault", (fault.problem, fault.fix))
    kind, value = broadcast_object(outcome)
    if kind == "fault":
        raise SeedbedError(*value)  # type: ignore[misc]
    return value  # type: ignore[return-value]


def from_shares(mine: Sequence[T], total: int) -> list[T]:
    """All `total` results, in order, on every process; collective.

    Item i was the work of data-parallel process i % dp, and `mine` are this process's in order.
    rl/training/batches.py shares examples out in this way.
    """
    dp = dp_size()
    shares: list[Sequence[T]] = [()] * dp
    dist.all_gather_object(shares, list(mine), group=parallel_state.get_data_parallel_group())
    return [shares[i % dp][i // dp] for i in range(total)]


def sum_of_shares(mine: Sequence[float]) -> list[float]:
    """Sums of numbers over the data-parallel processes, on every process; collective.

    Each number counts one process's share of a batch. Processes of one replica hold the same share,
    so they count once.
    """
    sums = torch.tensor(mine, dtype=torch.float64, device=device())
    dist.all_reduce(sums, group=parallel_state.get_data_parallel_group())
    return sums.tolist()


def gather_object(value: Any) -> list[Any]:
    """`value` of every process, on every process."""
    values = [None] * world()
    dist.all_gather_object(values, value)
    return values


def any_rank(flag: bool) -> bool:
    """True on every process when it is true on one."""
    seen = torch.tensor([int(flag)], device=device())
    dist.all_reduce(seen, op=dist.ReduceOp.MAX)
    return bool(seen.item())


def is_lost_peer(error: BaseException) -> bool:
    """Whether a collective failed because another process is gone.

    gloo and NCCL say so only in the words of the error.
    """
    words = (
        "connection closed by peer",
        "connection reset",
        "connection refused",
        "broken pipe",
        "nccl",
        "timed out",
        "socket",
    )
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def seed_step(seed: int, step: int) -> None:
    """Set every generator from (seed, step, data-parallel rank).

    So no generator state has to be saved, and a resumed run draws what the first run drew.
    megatron-core itself offsets the generators of tensor-parallel processes.
    """
    digest = hashlib.sha256(f"{seed}:{step}:{dp_rank()}".encode()).digest()
    # megatron-core adds offsets of a few thousand, so the number must stay below 2^31.
    number = int.from_bytes(digest[:4], "little") >> 1
    # torch.manual_seed would also note the stack of this call for each kind of device that is not
    # there. GPUs are seeded by megatron-core.
    torch.default_generator.manual_seed(number)
    model_parallel_cuda_manual_seed(number, force_reset_rng=True)
