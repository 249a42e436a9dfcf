"""Our losses against TRL's on the same tensors.

The golden numbers came from TRL 1.16.0's own `DPOTrainer._compute_loss` (loss_type sigmoid) and
`GRPOTrainer._compute_loss` (loss_type dapo, epsilon 0.2 and 0.28; the second time with vLLM's
importance-sampling correction, token_truncate at 1.5), fed with the tables below in place of a
model's log-probabilities.
"""

from __future__ import annotations

import math

import pytest
import torch

from rl.training.objective import (
    ClipRange,
    clipped_policy_loss,
    preference_loss,
    truncated_importance_weights,
)


def table(shift: int) -> torch.Tensor:
    return torch.tensor(
        [[-0.3 - 0.9 * abs(math.sin(shift + 3 * i + 7 * j)) for j in range(5)] for i in range(4)]
    )


NEW, OLD = table(1), table(2)
MASK = torch.tensor([[0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [1, 1, 0, 0, 0]])
ADVANTAGES = torch.tensor([1.5, -0.5, 0.7, -1.2])
REFERENCE = torch.tensor([-2.0, -3.5, -1.0, -2.2])


def value_and_gradient(loss, logprobs: torch.Tensor) -> tuple[float, list[list[float]]]:
    logprobs = logprobs.clone().requires_grad_(True)
    total, count, _ = loss(logprobs)
    (total / count).backward()
    return (total / count).item(), logprobs.grad.tolist()


@pytest.mark.parametrize(
    ("beta", "loss", "first", "second"),
    [
        (0.1, 0.6999068260192871, 0.02387760393321514, 0.02639545500278473),
        (0.5, 0.7522975206375122, 0.09738412499427795, 0.15904156863689423),
    ],
)
def test_dpo_agrees_with_trl(beta, loss, first, second):
    ours, gradient = value_and_gradient(
        lambda logprobs: preference_loss(logprobs, MASK, REFERENCE, beta), NEW
    )
    assert ours == pytest.approx(loss, abs=1e-6)
    slopes = torch.tensor([-first, -second, first, second])[:, None] * MASK
    torch.testing.assert_close(torch.tensor(gradient), slopes, atol=1e-7, rtol=1e-5)


PLAIN = (
    -0.01440037228167057,
    [
        [-0.0, -0.06863175332546234, -0.08327305316925049, 0.0, 0.0],
        [0.046134836971759796, 0.0, 0.0, 0.06781916320323944, 0.057586919516325],
        [0.0, 0.0, -0.02556200511753559, 0.0, 0.0],
        [0.13914266228675842, 0.07638286799192429, 0.0, 0.0, 0.0],
    ],
)
TRUNCATED = (
    -0.08399422466754913,
    [
        [-0.0, -0.06863175332546234, -0.08327305316925049, -0.17307692766189575, -0.0],
        [
            0.046134836971759796,
            0.02534504421055317,
            0.02239101566374302,
            0.05769231170415878,
            0.057586919516325,
        ],
        [-0.0, -0.0, -0.02556200511753559, -0.07667580991983414, -0.08076923340559006],
        [0.13846156001091003, 0.07638286054134369, 0.0, 0.0, 0.0],
    ],
)


CLIP = ClipRange(0.2, 0.28)


@pytest.mark.parametrize("off_policy", [False, True])
def test_grpo_agrees_with_trl(off_policy):
    def loss(logprobs):
        if not off_policy:
            return clipped_policy_loss(logprobs, OLD, ADVANTAGES, MASK, CLIP)
        weights = truncated_importance_weights(logprobs, OLD, MASK, cap=1.5)
        return clipped_policy_loss(logprobs, logprobs.detach(), ADVANTAGES, MASK, CLIP, weights)

    ours, gradient = value_and_gradient(loss, NEW)
    theirs, slopes = TRUNCATED if off_policy else PLAIN
    assert ours == pytest.approx(theirs, abs=1e-6)
    torch.testing.assert_close(torch.tensor(gradient), torch.tensor(slopes), atol=1e-7, rtol=1e-5)
