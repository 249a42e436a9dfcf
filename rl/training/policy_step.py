"""One step of GRPO on selected samples: one or several optimizer updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch

from conf.schema.rl import GrpoConfig
from megatron_train.model import weights
from megatron_train.training.losses import Batch
from megatron_train.training.step import StepResult, TrainState, token_logprobs, train_step
from rl.training.batches import Example, ProcessShare, step_batches
from rl.training.policy_objective import PolicyObjective
from rl.training.shared_prompts import saved_share, shared_batches, why_apart


class ReferencePolicy:
    """The weights that a KL penalty compares with, kept beside the policy's in the same layout.

    It copies the present weights of `state` when it is made. All methods are collective.
    """

    def __init__(self, state: TrainState):
        self._state = state
        weights.finish_weights(state.chunks)
        self._held = [p.detach().clone() for p in self._parameters()]

    def logprobs(self, batches: Sequence[Batch], temperature: float) -> list[torch.Tensor]:
        """token_logprobs under the weights that are kept; the state is as before afterwards."""
        weights.finish_weights(self._state.chunks)
        self._swap()
        try:
            return token_logprobs(self._state, batches, temperature)
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, held in zip(self._parameters(), self._held, strict=True):
            present = parameter.detach().clone()
            parameter.copy_(held)
            held.copy_(present)

    def _parameters(self) -> list[torch.nn.Parameter]:
        """What learns; under adapters the rest is the same in both policies."""
        every = (p for chunk in self._state.chunks for p in chunk.parameters())
        return [p for p in every if p.requires_grad]


def updates(examples: Sequence[Example], count: int) -> list[Sequence[Example]]:
    """The examples in `count` parts of nearly equal size, in order; no part is empty."""
    count = min(count, len(examples))
    bounds = [len(examples) * i // count for i in range(count + 1)]
    return [examples[a:b] for a, b in pairwise(bounds)]


def policy_step(
    cfg: GrpoConfig,
    state: TrainState,
    examples: Sequence[Example],
    pad_id: int,
    lr: float,
    reference: ReferencePolicy | None = None,
) -> StepResult:
    """cfg.updates optimizer updates on the selected samples, which count as one step; collective.

    Without a selected sample the step counts, and no weight changes. Loss and metrics are means
    over all updates; the gradient norm is the largest. `tokens` counts sequences where the
    normalisation does. The metric positions_saved is the share of positions that are not computed
    because samples share their prompt (shared_prompts.py).
    """
    before = state.step
    if not examples:
        state.step += 1
        return StepResult(0.0, 0, 0.0, {})
    share = ProcessShare.of_this_process(cfg.parallel, pad_id)
    parts, saved = [], []
    for part in updates(examples, cfg.updates):
        saved.append(0.0 if why_apart(state) else saved_share(part, cfg.micro_batch, share))
        if saved[-1]:
            parts.append(shared_batches(part, cfg.micro_batch, share))
        else:
            parts.append(step_batches(part, cfg.micro_batch, share, cfg.parallel))
    everything = [batch for part in parts for batch in part]
    if len(parts) > 1:
        # After the first update the present policy is no longer the one that the ratio is to.
        _add(everything, "old_logprobs", _each(state, parts, cfg.temperature))
    if reference is not None:
        theirs = [one for part in parts for one in reference.logprobs(part, cfg.temperature)]
        _add(everything, "reference_logprobs", theirs)
    longest = cfg.stage(before).max_response * cfg.environment.max_turns
    objective = PolicyObjective(cfg, longest)
    results = [train_step(state, part, objective.loss, lr, cfg.temperature) for part in parts]
    state.step = before + 1
    whole = _together(results)
    return replace(whole, metrics={**whole.metrics, "positions_saved": sum(saved) / len(saved)})


def _each(
    state: TrainState, parts: Sequence[list[Batch]], temperature: float
) -> list[torch.Tensor]:
    return [one for part in parts for one in token_logprobs(state, part, temperature)]


def _add(batches: Sequence[Batch], name: str, values: Sequence[torch.Tensor]) -> None:
    for batch, value in zip(batches, values, strict=True):
        batch[name] = value.cpu()


def _together(results: Sequence[StepResult]) -> StepResult:
    tokens = sum(result.tokens for result in results)

    def mean(values: Sequence[float]) -> float:
        weighted = zip(values, results, strict=True)
        return sum(value * one.tokens for value, one in weighted) / max(tokens, 1)

    names = results[0].metrics
    return StepResult(
        mean([result.loss for result in results]),
        tokens,
        max(result.grad_norm for result in results),
        {name: mean([result.metrics[name] for result in results]) for name in names},
    )
