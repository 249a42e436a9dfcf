"""FOLDER/config.yaml -> seen.json and *.safetensors: some steps that try where layouts break.

    torchrun --nproc-per-node N -m megatron_train.parallel.verify_worker FOLDER CP

verify_layout starts it. Process 0 writes losses, gradient norms and random-number checks to
seen.json, and gradients and weights to gradient-stepN.safetensors and weight-stepN.safetensors. CP
is the number of context-parallel processes of the layout under test; the single process that it is
compared with must know it as well.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.tensor_parallel.random import get_cuda_rng_tracker
from safetensors.torch import save_file

from conf.loader import load
from conf.schema.pretrain import PretrainConfig
from megatron_train.checkpoint import sharded
from megatron_train.model import weights
from megatron_train.parallel import processes
from megatron_train.training.losses import Batch, language_model_loss
from megatron_train.training.state import TrainState
from megatron_train.training.step import build, step_gradients, train_step

# It is padded to 384, and the padding must not reach the loss.
VOCAB = 300
# For each step: (one context-parallel shard has no counted token, there are document borders). A
# checkpoint is read before step RELOAD.
STEPS = ((False, False), (True, False), (True, True), (False, True), (False, False))
RELOAD = 3


def main(folder: Path, shards: int) -> None:
    cfg = load(PretrainConfig, folder / "config.yaml")
    processes.start(cfg.parallel, cfg.seed)
    state = _fresh(cfg)
    seen: dict[str, Any] = {"loss": [], "grad_norm": [], "random": random_numbers()}
    for number, (masked_shard, documents) in enumerate(STEPS, start=1):
        if number == RELOAD:
            sharded.save(state, folder / "checkpoints", {}, keep=1)
            state = _fresh(cfg)
            sharded.load(state, folder / "checkpoints")
        batches = micro_batches(cfg, number, shards if masked_shard else 1, documents)
        step_gradients(state, batches, language_model_loss)
        weights.finish_gradients(state.chunks)
        _write(state, folder / f"gradient-step{number}.safetensors", lambda p: p.main_grad)
        result = train_step(state, batches, language_model_loss, cfg.optim.lr)
        seen["loss"].append(result.loss)
        seen["grad_norm"].append(result.grad_norm)
    _write(state, folder / f"weight-step{len(STEPS)}.safetensors", torch.nn.Parameter.detach)
    if processes.is_main():
        (folder / "seen.json").write_text(json.dumps(seen))
    processes.stop()


def micro_batches(cfg: PretrainConfig, number: int, shards: int, documents: bool) -> list[Batch]:
    """This process's share of step `number`.

    Each sample has a generator of its own, so the samples are the same in every layout, and each
    counts another share of its positions. With shards > 1, no position counts that the last of
    `shards` context-parallel processes holds, and the first sample counts none at all. With
    documents, about every twelfth position begins one.
    """
    length = cfg.model.seq_length

    def sample(i: int) -> Batch:
        generator = torch.Generator().manual_seed(1000 * number + i)
        ids = torch.randint(0, VOCAB, (length + 1,), generator=generator)
        mask = torch.rand(length, generator=generator) > (i + 1) / (cfg.batch.total + 1)
        if shards > 1:
            chunk = length // (2 * shards)
            mask[(shards - 1) * chunk : (shards + 1) * chunk] = False
            mask &= torch.tensor(i > 0)
        borders = torch.rand(length, generator=generator) < 1 / 12
        return {
            "tokens": ids[:-1],
            "labels": ids[1:],
            "loss_mask": mask,
            "document_ids": borders.cumsum(0),
        }

    micro, dp = cfg.batch.micro, processes.dp_size()
    out = []
    for first in range(processes.dp_rank() * micro, cfg.batch.total, micro * dp):
        samples = [sample(i) for i in range(first, first + micro)]
        batch = {name: torch.stack([one[name] for one in samples]) for name in samples[0]}
        if not documents:
            del batch["document_ids"]
        out.append(batch)
    return out


def random_numbers() -> dict[str, bool]:
    """{rule of megatron-core's generator for tensor-parallel parts: whether it holds}; collective.

    Dropout draws inside a fork of the generator. The numbers must differ between tensor-parallel
    processes and agree between replicas, and the stream outside must go on undisturbed.
    """
    device = processes.device()
    processes.seed_step(1, 0)
    undisturbed = torch.rand(4, device=device)
    processes.seed_step(1, 0)
    with get_cuda_rng_tracker().fork():
        inside = torch.rand(4, device=device)
    outside = torch.rand(4, device=device)
    place = (processes.dp_rank(), parallel_state.get_pipeline_model_parallel_rank())
    rank = parallel_state.get_tensor_model_parallel_rank()
    seen: list[Any] = [None] * processes.world()
    dist.all_gather_object(
        seen,
        (place, rank, inside.tolist(), outside.tolist(), bool(torch.equal(undisturbed, outside))),
    )
    draws: dict[Any, dict[int, list[list[float]]]] = {}
    for where, tensor_rank, drawn, _, _ in seen:
        draws.setdefault(where, {}).setdefault(tensor_rank, []).append(drawn)
    return {
        "outside a fork go on undisturbed": all(untouched for *_, untouched in seen),
        "in a fork differ over tp": all(
            len({tuple(d) for of_rank in by_rank.values() for d in of_rank}) == len(by_rank)
            for by_rank in draws.values()
        ),
        "outside a fork agree over tp": all(
            len({tuple(out) for there, _, _, out, _ in seen if there == where}) == 1
            for where in draws
        ),
    }


def _fresh(cfg: PretrainConfig) -> TrainState:
    return build(cfg.model, VOCAB, cfg.parallel, cfg.optim, cfg.dtype, cfg.seed)


def _write(state: TrainState, file: Path, of: Callable[[torch.nn.Parameter], torch.Tensor]) -> None:
    tensors = {
        name: tensor.contiguous().clone() for name, tensor in weights.gather(state.chunks, of)
    }
    if processes.is_main():
        save_file(tensors, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
