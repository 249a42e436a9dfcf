"""Our losses against TRL's on the same tensors.

The golden numbers came from TRL 1.16.0's own `DPOTrainer._compute_loss` (loss_type sigmoid) and
`GRPOTrainer._compute_loss` (loss_type dapo unless a comment says otherwise, epsilon 0.2 and 0.28),
fed with the tables below in place of a model's log-probabilities. vLLM's importance-sampling
correction is token_truncate at 1.5 in TRUNCATED, and there the policy is the present one.
"""

from __future__ import annotations

import math

import pytest
import torch

from rl.training.objective import (
    ClipRange,
    LossOptions,
    clipped_policy_loss,
    kl_penalty,
    masked_importance_weights,
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
        options = LossOptions(weights)
        return clipped_policy_loss(logprobs, logprobs.detach(), ADVANTAGES, MASK, CLIP, options)

    ours, gradient = value_and_gradient(loss, NEW)
    theirs, slopes = TRUNCATED if off_policy else PLAIN
    assert ours == pytest.approx(theirs, abs=1e-6)
    torch.testing.assert_close(torch.tensor(gradient), torch.tensor(slopes), atol=1e-7, rtol=1e-5)


REFERENCE_TABLE, ENGINE = table(3), table(4)
OPTIONS = {
    # loss_type grpo
    "sequence": (
        0.000141501,
        [
            [-0.0, -0.074351065, -0.090212472, 0.0, 0.0],
            [0.029987643, 0.0, 0.0, 0.044082455, 0.037431497],
            [0.0, 0.0, -0.027692173, 0.0, 0.0],
            [0.226106808, 0.12412215, 0.0, 0.0, 0.0],
        ],
    ),
    # loss_type dr_grpo, max_completion_length 9
    "length-free": (
        -0.005200135,
        [
            [-0.0, -0.02478369, -0.030070825, 0.0, 0.0],
            [0.016659802, 0.0, 0.0, 0.024490252, 0.020795276],
            [0.0, 0.0, -0.009230725, 0.0, 0.0],
            [0.050245959, 0.027582701, 0.0, 0.0, 0.0],
        ],
    ),
    # loss_type grpo, importance_sampling_level sequence
    "gspo": (
        -0.080536157,
        [
            [-0.0, -0.121223651, -0.121223651, -0.121223651, -0.0],
            [0.025992483, 0.025992483, 0.025992483, 0.025992483, 0.025992483],
            [-0.0, -0.0, -0.060626354, -0.060626354, -0.060626354],
            [0.167525724, 0.167525724, 0.0, 0.0, 0.0],
        ],
    ),
    # importance_sampling_level sequence
    "gspo token norm": (
        -0.097456947,
        [
            [-0.0, -0.111898758, -0.111898758, -0.111898758, -0.0],
            [0.039988436, 0.039988436, 0.039988436, 0.039988436, 0.039988436],
            [-0.0, -0.0, -0.05596279, -0.05596279, -0.05596279],
            [0.10309276, 0.10309276, 0.0, 0.0, 0.0],
        ],
    ),
    # beta 0.25
    "k3": (
        0.012770708,
        [
            [0.0, -0.078112982, -0.078576609, 0.01065057, 0.0],
            [0.035813358, -0.013175519, 0.0026084, 0.077889532, 0.057196282],
            [0.0, 0.0, -0.02539717, 0.009145274, 0.003388342],
            [0.13901332, 0.055693544, 0.0, 0.0, 0.0],
        ],
    ),
    # token_truncate at 1.2, weights exp(OLD - ENGINE)
    "truncate": (
        -0.024130765,
        [
            [-0.0, -0.082358114, -0.099927679, 0.0, 0.0],
            [0.035157025, 0.0, 0.0, 0.043569501, 0.034423493],
            [0.0, 0.0, -0.030674409, 0.0, 0.0],
            [0.08257103, 0.088368945, 0.0, 0.0, 0.0],
        ],
    ),
    # token_mask at 1.2, the same weights
    "mask": (
        0.114983268,
        [
            [-0.0, 0.0, 0.0, 0.0, 0.0],
            [0.035157025, 0.0, 0.0, 0.043569501, 0.034423493],
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.08257103, 0.088368945, 0.0, 0.0, 0.0],
        ],
    ),
    # loss_type dr_grpo, importance_sampling_level sequence, beta 0.25, token_truncate at 1.2
    "all": (
        -0.03074595,
        [
            [0.0, -0.04283474, -0.037715025, -0.035564926, 0.0],
            [0.008986739, 0.007956116, 0.013655863, 0.016350463, 0.012572877],
            [0.0, 0.0, -0.016959276, -0.013716341, -0.015795233],
            [0.032534219, 0.025109783, 0.0, 0.0, 0.0],
        ],
    ),
}


def options_of(name: str, logprobs: torch.Tensor) -> LossOptions:
    """What our loss is told for a row of OPTIONS."""
    cut = {"truncate": truncated_importance_weights, "mask": masked_importance_weights}
    cut["all"] = truncated_importance_weights
    kl = kl_penalty(logprobs, REFERENCE_TABLE, MASK, "k3")
    return LossOptions(
        weights=cut[name](OLD, ENGINE, MASK, cap=1.2) if name in cut else None,
        penalty=0.25 * kl if name in ("k3", "all") else None,
        ratio="sequence" if name in ("gspo", "gspo token norm", "all") else "token",
        normalisation={
            "sequence": "sequence",
            "gspo": "sequence",
            "length-free": "length-free",
            "all": "length-free",
        }.get(name, "token"),
        longest=9,
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_the_policy_loss_agree_with_trl(name):
    def loss(logprobs):
        options = options_of(name, logprobs)
        return clipped_policy_loss(logprobs, OLD, ADVANTAGES, MASK, CLIP, options)

    ours, gradient = value_and_gradient(loss, NEW)
    theirs, slopes = OPTIONS[name]
    assert ours == pytest.approx(theirs, abs=1e-6)
    torch.testing.assert_close(torch.tensor(gradient), torch.tensor(slopes), atol=1e-7, rtol=1e-5)
