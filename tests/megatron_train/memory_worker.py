"""CASES -> OUT.json: bytes that a small model really takes, beside what costs.memory says.

memory_worker.py OUT.json CASES
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch

from conf.schema.layout import BatchConfig, ModelConfig, ParallelConfig
from conf.schema.pretrain import OptimConfig
from megatron_train.model.gpt import padded_vocab
from megatron_train.parallel import costs, processes
from megatron_train.training import step
from megatron_train.training.losses import Batch, language_model_loss
from megatron_train.training.state import TrainState

VOCAB = 1000


def main(out: str, cases: list[dict[str, Any]]) -> None:
    seen = []
    for case in cases:
        model = ModelConfig(**case["model"])
        layout = ParallelConfig(recompute=case["recompute"])
        processes.start(layout, seed=1)
        optim = OptimConfig(name=case["optim"])
        state = step.build(model, VOCAB, layout, optim, case["dtype"], seed=1)
        kept = activations(state, case["micro"])
        batch = BatchConfig(case["micro"], case["micro"])
        work = costs.Workload(
            model,
            layout,
            batch,
            1,
            padded_vocab(VOCAB),
            case["dtype"],
            fused=False,
            muon=optim.name == "muon",
        )
        planned = costs.memory(work, stage=0)
        # The plan counts the layer that is recomputed in the backward pass, which is not kept.
        if case["recompute"] == "full":
            tokens, width = case["micro"] * model.seq_length, 4 if case["dtype"] == "fp32" else 2
            at_work = tokens * costs.layer_activations(model, layout, width, fused=False)
            planned = dataclasses.replace(planned, activations=planned.activations - at_work)
        one = {
            "case": case,
            "planned": dataclasses.asdict(planned),
            "measured": resident(state) | kept,
        }
        seen.append(one)
    Path(out).write_text(json.dumps(seen))
    processes.stop()


def activations(state: TrainState, micro: int) -> dict[str, float]:
    """Bytes of the distinct storages that one forward pass keeps for the backward pass.

    The logits are counted apart from the rest.
    """
    ids = torch.randint(
        0, VOCAB, (micro, state.model.seq_length + 1), generator=torch.Generator().manual_seed(1)
    )
    batch = {
        "tokens": ids[:, :-1].contiguous(),
        "labels": ids[:, 1:].contiguous(),
        "loss_mask": torch.ones(micro, state.model.seq_length),
    }
    weights = {p.untyped_storage().data_ptr() for chunk in state.chunks for p in chunk.parameters()}
    storages: dict[int, int] = {}
    held = []
    backward = False

    def loss(logprobs: torch.Tensor, batch: Batch):
        nonlocal backward
        # What is kept from here on is recomputed.
        backward = True
        return language_model_loss(logprobs, batch)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if not backward and storage.data_ptr() not in weights and tensor.dtype.is_floating_point:
            storages[storage.data_ptr()] = storage.nbytes()
            # A held tensor keeps its address from being used again.
            held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step.step_gradients(state, [batch], loss)
    logits = micro * state.model.seq_length * padded_vocab(VOCAB) * 4
    head = [size for size in storages.values() if size >= logits]
    return {"activations": sum(storages.values()) - sum(head), "head": sum(head)}


def resident(state: TrainState) -> dict[str, float]:
    step.train_step(state, [_tiny_batch(state)], language_model_loss, lr=1e-3)
    optimizer = list(state.optimizer.chained_optimizers)
    moments = sum(
        value.numel() * value.element_size()
        for one in optimizer
        for values in one.optimizer.state.values()
        for key, value in values.items()
        if key != "step"
    )
    masters = sum(
        p.numel() * 4
        for one in optimizer
        for group in getattr(one, "fp32_from_float16_groups", [])
        for p in group
    )
    return {
        "weights": sum(
            p.numel() * p.element_size() for chunk in state.chunks for p in chunk.parameters()
        ),
        "gradients": sum(
            buffer.grad_data.nbytes for chunk in state.chunks for buffer in chunk.buffers
        ),
        "optimizer": moments + masters,
    }


def _tiny_batch(state: TrainState) -> Batch:
    ids = torch.zeros(1, state.model.seq_length, dtype=torch.int64)
    return {"tokens": ids, "labels": ids, "loss_mask": torch.ones(1, state.model.seq_length)}


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
