"""GRPO of adapters: after every step the engine samples from the policy that the trainer holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from conf.loader import load
from conf.schema.rl import GrpoConfig
from megatron_train.checkpoint import hf_config, hf_import
from megatron_train.model import weights
from megatron_train.parallel import processes
from megatron_train.training.step import TrainState, token_logprobs
from rl.training.batches import Example, ProcessShare, micro_batches
from rl.training.policy import build_policy
from rl.training.policy_step import policy_step
from rl.weight_sync.sync import WeightSync
from seedbed.inference.chat import Chat
from seedbed.inference.engine import AnyEngine, Sampling
from seedbed.inference.process_engine import Engine
from tests.tiny_model import write_model

SETTINGS = [
    *("lora.rank=3", "lora.alpha=7.5", "temperature=0.8", "micro_batch=2", "updates=2"),
    *("max_response=9", "clip_high=0.3"),
]
# Of adapters that start at 0. It moves single log-probabilities by more than 2.
RATE = 0.02
ADVANTAGES = (1.5, -0.5, 0.75, -1.25)


def own_weights(state: TrainState) -> dict[str, torch.Tensor]:
    """What the adapters are added to."""
    return {name: value.clone() for name, value in weights.gather(state.chunks)}


def sampled(
    cfg: GrpoConfig, state: TrainState, engine: AnyEngine, chat: Chat, seed: int
) -> tuple[list[Example], float]:
    """Samples of the engine, and how far off its log-probabilities are from the trainer's."""
    prompts = [chat.prompt(text) for text in ("one", "number two", "3", "the fourth")]
    seeds = [seed + number for number in range(len(prompts))]
    samples = engine.generate(prompts, seeds, Sampling(cfg.temperature, cfg.max_response))
    examples = [
        Example(p, one.tokens, {"advantage": a}, {"engine_logprobs": one.logprobs})
        for p, one, a in zip(prompts, samples, ADVANTAGES, strict=True)
    ]
    share = ProcessShare.of_this_process(cfg.parallel, chat.end_id)
    [batch] = micro_batches(examples, len(examples), share)
    [ours] = token_logprobs(state, [batch], cfg.temperature)
    off = (ours - batch["engine_logprobs"]) * batch["loss_mask"]
    return examples, off.abs().max().item()


@pytest.mark.slow
# bf16 rounds logits above 16 to 1/8, and this model's are large. Merging rounds once more.
@pytest.mark.parametrize(("dtype", "limit"), [("fp32", 1e-3), ("bf16", 0.6)])
def test_the_engine_has_the_merged_adapters_of_every_step(
    tmp_path: Path, dtype: str, limit: float
) -> None:
    base = write_model(tmp_path / "base")
    engine_dtype = {"fp32": "float32", "bf16": "bfloat16"}[dtype]
    cfg = load(GrpoConfig, None, [*SETTINGS, f"dtype={dtype}", f"engine.dtype={engine_dtype}"])
    chat = Chat(base)
    model, vocab_size = hf_config.model_config(base)
    processes.start(cfg.parallel, 1)
    try:
        state = build_policy(cfg, model, vocab_size)
        hf_import.load_weights(state, base)
        before = own_weights(state)
        with Engine(base, 64, cfg.engine, tmp_path / "engine.log") as engine:
            sync = WeightSync(cfg.engine, engine, tmp_path / "policy", base)
            sync.give(state)
            examples, off = sampled(cfg, state, engine, chat, 10)
            assert off < limit
            for step in range(2):
                result = policy_step(cfg, state, examples, chat.end_id, RATE)
                assert result.grad_norm > 0
                fresh, stale = sampled(cfg, state, engine, chat, 20 + step)
                # The step moved the policy by more than rounding, or the rest proves nothing.
                assert stale > 3 * limit
                sync.give(state)
                examples, off = sampled(cfg, state, engine, chat, 20 + step)
                assert off < limit
                assert [one.response for one in examples] != [one.response for one in fresh]
        for name, value in own_weights(state).items():
            assert torch.equal(value, before[name]), name
    finally:
        processes.stop()
