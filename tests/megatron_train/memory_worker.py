"""Bytes that a small model really takes, by part, beside what costs.memory says: memory_worker.py
OUT.json CASES
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch

from conf.schema.pretrain import ModelConfig, OptimConfig, ParallelConfig
from megatron_train.model.gpt import padded_vocab
from megatron_train.parallel import costs, processes
from megatron_train.training import step

VOCAB = 1000


def main(out: str, cases: list[dict[str, Any]]) -> None:
    seen = []
    for case in cases:
        model = ModelConfig(**case["model"])
        layout = ParallelConfig(recompute=case["recompute"])
        processes.start(layout, seed=1)
        state = step.build(model, VOCAB, layout, OptimConfig(), case["dtype"], seed=1)
        kept = activations(state, case["micro"])
        planned = costs.memory(
            model,
            layout,
            case["micro"],
            1,
            1,
            padded_vocab(VOCAB),
            case["dtype"],
            stage=0,
            fused=False,
        )
        # the layer at work, in the backward pass
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


def activations(state: step.TrainState, micro: int) -> dict[str, float]:
    """Bytes of the distinct storages that one forward pass keeps for the backward pass: of the
    logits, and of the rest.
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

    def loss(logprobs: torch.Tensor, batch: step.Batch):
        nonlocal backward
        # what is kept from here on is recomputed
        backward = True
        return step.language_model_loss(logprobs, batch)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if not backward and storage.data_ptr() not in weights and tensor.dtype.is_floating_point:
            storages[storage.data_ptr()] = storage.nbytes()
            # so that no address is used twice
            held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step.step_gradients(state, [batch], loss)
    logits = micro * state.model.seq_length * padded_vocab(VOCAB) * 4
    head = [size for size in storages.values() if size >= logits]
    return {"activations": sum(storages.values()) - sum(head), "head": sum(head)}


def resident(state: step.TrainState) -> dict[str, float]:
    step.train_step(state, [_tiny_batch(state)], step.language_model_loss, lr=1e-3)
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


def _tiny_batch(state: step.TrainState) -> step.Batch:
    ids = torch.zeros(1, state.model.seq_length, dtype=torch.int64)
    return {"tokens": ids, "labels": ids, "loss_mask": torch.ones(1, state.model.seq_length)}


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
