"""Adapters in one layout: what they compute, learn, save and export.

    python -m tests.megatron_train.model.lora_worker OUT HF_FOLDER '{"tp": 2}' [CHECKPOINTS]

OUT gets seen.json, hf/ (merged), adapter/ (PEFT's form) and checkpoints/. With CHECKPOINTS the
adapters come from there.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch

from conf.errors import SeedbedError
from conf.schema.layout import ParallelConfig
from conf.schema.lora import LoraConfig
from conf.schema.pretrain import OptimConfig, PretrainConfig
from megatron_train.checkpoint import hf_config, hf_export, hf_import, peft, sharded
from megatron_train.model import lora, weights
from megatron_train.parallel import processes
from megatron_train.training.losses import language_model_loss
from megatron_train.training.step import TrainState, build_from, token_logprobs, train_step

LORA = LoraConfig(rank=3, alpha=7.5)


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(5, 250, (2, 17), generator=generator)
    mask = torch.rand(2, 16, generator=generator) > 0.3
    return {"tokens": ids[:, :-1], "labels": ids[:, 1:].contiguous(), "loss_mask": mask}


def of_all(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The batch without its mask: log-probabilities of all its tokens are wanted."""
    return {name: part for name, part in batch.items() if name != "loss_mask"}


def stir(state: TrainState) -> None:
    """Gives B values, the same in every layout; it starts at 0."""
    for name, parameter in weights.adapter_parameters(state.chunks).items():
        shape = weights.full_shape(parameter)
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
        full = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) / 8
        if name.endswith(".b"):
            with torch.no_grad():
                parameter.copy_(weights.part_of(full, parameter))
    state.optimizer.reload_model_params()


def sums(tensors) -> dict[str, float]:
    return {name: tensor.double().square().sum().item() for name, tensor in tensors}


def main(out: Path, folder: Path, layout: ParallelConfig, checkpoints: str) -> None:
    processes.start(layout, 1)
    model, vocab_size = hf_config.model_config(folder)
    seen: dict[str, object] = {}

    def fresh(settings: LoraConfig = LORA) -> TrainState:
        optim = OptimConfig(lr=1.0, weight_decay=0.1)
        pretrain = PretrainConfig(model=model, parallel=layout, optim=optim, dtype="fp32", seed=4)
        state = build_from(pretrain, vocab_size, settings)
        hf_import.load_weights(state, folder)
        return state

    state = fresh()
    if checkpoints:
        sharded.load(state, Path(checkpoints))
        seen["loaded"] = sums(lora.gather(state.chunks))
    else:
        [plain] = token_logprobs(state, [of_all(batch())], 0.8)
        seen["plain"] = plain.tolist()
        stir(state)
    seen["own"] = sums(weights.gather(state.chunks))
    [adapted] = token_logprobs(state, [of_all(batch())], 0.8)
    seen["adapted"] = adapted.tolist()
    hf_export.export(state, out / "hf")
    peft.export(state, out / "adapter", folder, "# Adapters\n")
    steps = [train_step(state, [batch()], language_model_loss, 1e-3) for _ in range(3)]
    seen["steps"] = [(step.loss, step.grad_norm) for step in steps]
    seen["own afterwards"] = sums(weights.gather(state.chunks))
    seen["adapters"] = sums(lora.gather(state.chunks))
    seen["learning"] = sum(p.requires_grad for c in state.chunks for p in c.parameters())
    if not checkpoints:
        sharded.save(state, out / "checkpoints", {}, keep=1)
        again = fresh()
        sharded.load(again, out / "checkpoints")
        seen["loaded"] = sums(lora.gather(again.chunks))
        # Adam's moments were loaded too.
        one, other = (
            train_step(each, [batch()], language_model_loss, 1e-3) for each in (state, again)
        )
        seen["next"] = [(step.loss, step.grad_norm) for step in (one, other)]
        seen["moved"] = [sums(lora.gather(each.chunks)) for each in (state, again)]
        try:
            sharded.load(fresh(LoraConfig(rank=4, alpha=7.5)), out / "checkpoints")
        except SeedbedError as error:
            seen["other rank"] = error.problem
    if processes.is_main():
        (out / "seen.json").write_text(json.dumps(seen))
    processes.stop()


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        ParallelConfig(**json.loads(sys.argv[3])),
        "".join(sys.argv[4:]),
    )
