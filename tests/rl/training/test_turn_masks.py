"""The loss of an episode is that of the tokens which the model sampled, whatever stands between."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch

from conf.loader import load
from conf.schema.rl import GrpoConfig
from rl.training.batches import Example, ProcessShare, micro_batches, packed_batches
from rl.training.policy_objective import PolicyObjective
from tests.tiny_model import write_model

# Two answers of 3 and 2 tokens with two told tokens between, and one answer of 4.
SAMPLED = [True, True, True, False, False, True, True]
EPISODE = Example(
    [1, 2, 3],
    [11, 12, 13, 90, 91, 14, 15],
    {"advantage": 0.75},
    {"engine_logprobs": [-0.5, -1.5, -0.25, 0.0, 0.0, -2.0, -1.0]},
    SAMPLED,
)
OTHER = Example(
    [4], [16, 17, 18, 19], {"advantage": -1.5}, {"engine_logprobs": [-1.0, -0.5, -0.75, -1.25]}
)
ALONE = ProcessShare(0, 1, 0, 1)


def test_rows_mask_what_was_told_and_packed_rows_too():
    [batch] = micro_batches([EPISODE, OTHER], 2, ALONE)
    assert batch["labels"][0].tolist() == [2, 3, 11, 12, 13, 90, 91, 14, 15]
    assert batch["loss_mask"][0].tolist() == [0, 0, 1, 1, 1, 0, 0, 1, 1]
    assert batch["loss_mask"][1].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0]
    [packed] = packed_batches([EPISODE, OTHER], 1, ALONE, 13)
    assert packed["loss_mask"].tolist() == [[0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1]]


def test_processes_share_the_sampled_tokens_of_all():
    shares = [micro_batches([EPISODE, OTHER, EPISODE], 1, ProcessShare(r, 2, 0, 4)) for r in (0, 1)]
    labels = [
        batch["labels"][batch["loss_mask"] > 0].tolist() for share in shares for batch in share
    ]
    assert sorted(labels) == [[], [11, 12, 13, 14, 15], [11, 12, 13, 14, 15], [16, 17, 18, 19]]


# The policy's, the old policy's and the reference's log-probabilities of the five sampled tokens.
NOW = [-0.6, -1.2, -0.3, -2.5, -0.7]
OLD = [-0.5, -1.6, -0.25, -2.1, -1.0]
REFERENCE = [-0.9, -1.0, -0.5, -2.0, -0.6]


def batch_of(now, old, reference, sampled, example) -> tuple[torch.Tensor, dict]:
    """A batch of one row, with nonsense at every position that does not count."""
    [batch] = micro_batches([example], 1, ALONE)
    counts = batch["loss_mask"] > 0

    def spread(values, nonsense):
        row = torch.full_like(batch["loss_mask"], nonsense)
        row[counts] = torch.tensor(values)
        return row

    batch["old_logprobs"] = spread(old, 3.0)
    batch["reference_logprobs"] = spread(reference, -40.0)
    batch["engine_logprobs"] = torch.where(counts, batch["engine_logprobs"], -7.0)
    return spread(now, -math.inf).requires_grad_(), batch


def test_the_loss_of_two_turns_by_hand():
    cfg = load(GrpoConfig, None, ["objective.correction=none", "clip_low=0.3", "clip_high=0.25"])
    logprobs, batch = batch_of(NOW, OLD, REFERENCE, SAMPLED, EPISODE)
    total, count, sums = PolicyObjective(cfg, 12).loss(logprobs, batch)
    # Ratios exp(-0.1), exp(0.4) clipped to 1.25, exp(-0.05), exp(-0.4), exp(0.3) clipped.
    ratios = [math.exp(n - o) for n, o in zip(NOW, OLD, strict=True)]
    terms = [-0.75 * min(ratio, 1.25) for ratio in ratios]
    assert total.item() == pytest.approx(sum(terms), abs=1e-6)
    assert count.item() == 5
    assert sums["clipped"].item() == 2
    total.backward()
    slopes = [-0.75 * ratio if ratio < 1.25 else 0.0 for ratio in ratios]
    expected = [0, 0, *slopes[:3], 0, 0, *slopes[3:]]
    assert logprobs.grad[0].tolist() == pytest.approx(expected, abs=1e-6)


CHOICES = product(
    ("token", "sequence", "length-free"),
    ("token", "sequence"),
    ("none", "truncate", "mask"),
    (0, 1),
)


@pytest.mark.parametrize(("normalisation", "ratio", "correction", "kl"), CHOICES)
def test_every_objective_is_that_of_the_sampled_tokens_alone(normalisation, ratio, correction, kl):
    estimator = {"token": "k1", "sequence": "k2", "length-free": "k3"}[normalisation]
    cfg = load(
        GrpoConfig,
        None,
        [
            *(f"objective.normalisation={normalisation}", f"objective.ratio={ratio}"),
            *(f"objective.correction={correction}", f"objective.kl_coefficient={0.3 * kl}"),
            *(f"objective.kl_estimator={estimator}", "max_importance=1.3", "clip_high=0.25"),
        ],
    )
    single = Example(
        [1, 2, 3],
        [11, 12, 13, 14, 15],
        {"advantage": 0.75},
        {"engine_logprobs": [-0.5, -1.5, -0.25, -2.0, -1.0]},
    )
    found = []
    for example in (EPISODE, single):
        logprobs, batch = batch_of(NOW, OLD, REFERENCE, SAMPLED, example)
        total, count, sums = PolicyObjective(cfg, 24).loss(logprobs, batch)
        total.backward()
        slopes = logprobs.grad[batch["loss_mask"] > 0].tolist()
        assert not logprobs.grad[batch["loss_mask"] == 0].any()
        told = {name: value.item() for name, value in sums.items()}
        found.append({"loss": total.item(), "count": count.item(), **told, "slopes": slopes})
    one, other = found
    assert one["slopes"] == pytest.approx(other["slopes"], abs=1e-6)
    for name in one.keys() - {"slopes"}:
        assert one[name] == pytest.approx(other[name], abs=1e-6), name


@pytest.mark.nightly
@pytest.mark.slow
def test_a_masked_step_is_the_same_in_every_layout(tmp_path):
    folder = write_model(tmp_path / "hf")
    found = {}
    for name, ranks, settings in (
        ("one", 1, []),
        ("dp", 2, []),
        ("tp", 2, ["parallel.tp=2", "parallel.sequence_parallel=true"]),
        ("pp", 2, ["parallel.pp=2"]),
        ("cp", 2, ["parallel.cp=2"]),
    ):
        out = tmp_path / f"{name}.json"
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        module = ["-m", "tests.rl.training.turns_worker", str(folder), str(out), *settings]
        told = subprocess.run(
            [*launch, f"--nproc-per-node={ranks}", *module],
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
        )
        assert told.returncode == 0, told.stderr[-3000:]
        found[name] = json.loads(out.read_text())
    for name in ("dp", "tp", "pp", "cp"):
        for value, expected in found["one"].items():
            assert found[name][value] == pytest.approx(expected, rel=1e-5, abs=2e-5), (name, value)
    # The tokens that were told between the turns are other ones, and are read, but do not train.
    assert found["one"]["tokens"] == 14
