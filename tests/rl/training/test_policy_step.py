"""Each setting of the objective reaches the step: one step of a tiny model for each of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from rl.training.batches import Example
from rl.training.policy_step import updates
from tests.rl.training.policy_worker import ADVANTAGES, LENGTHS, OFF, texts
from tests.tiny_model import write_model

COMMON = ["temperature=0.7", "micro_batch=4", "max_response=12"]
NO_WEIGHTS = "objective.correction=none"
RUNS = {
    "recipe": [],
    "recipe, other micro-batches": ["micro_batch=1"],
    "no correction": [NO_WEIGHTS],
    "mask": ["objective.correction=mask", "max_importance=1.5"],
    "lower cap": ["max_importance=1.25"],
    "no mismatch": ["exact"],
    "sequence": [NO_WEIGHTS, "objective.normalisation=sequence"],
    "length-free": [NO_WEIGHTS, "objective.normalisation=length-free"],
    "length-free, one by one": ["micro_batch=1", NO_WEIGHTS, "objective.normalisation=length-free"],
    "three updates": [NO_WEIGHTS, "updates=3"],
    "three updates, wide": [NO_WEIGHTS, "updates=3", "clip_low=0.9", "clip_high=9"],
    "three updates, narrow above": [NO_WEIGHTS, "updates=3", "clip_high=0.01"],
    "three updates, narrow below": [NO_WEIGHTS, "updates=3", "clip_low=0.01"],
    "three updates, sequence ratio": [NO_WEIGHTS, "updates=3", "objective.ratio=sequence"],
    "lag": ["rollout_lag=1"],
    **{
        f"kl {name}": [
            NO_WEIGHTS,
            "objective.kl_coefficient=0.5",
            f"objective.kl_estimator={name}",
        ]
        for name in ("k1", "k2", "k3")
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "hf")


@pytest.fixture(scope="module")
def seen(tmp_path_factory, folder) -> dict[str, list[dict]]:
    out = tmp_path_factory.mktemp("policy")
    runs = {name: [*COMMON, *settings] for name, settings in RUNS.items()}
    module = "tests.rl.training.policy_worker"
    told = subprocess.run(
        [sys.executable, "-m", module, str(folder), str(out / "out.json"), json.dumps(runs)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr[-3000:]
    return json.loads((out / "out.json").read_text())


@torch.no_grad()
def test_the_trainers_log_probabilities_are_of_the_tempered_distribution(seen, folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    [first, _] = seen["no mismatch"]
    for (prompt, response), ours in zip(texts(), first["engine"], strict=True):
        logits = model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]
        every = torch.log_softmax(logits / 0.7, -1)
        theirs = every[torch.arange(len(response)), torch.tensor(response)]
        torch.testing.assert_close(torch.tensor(ours), theirs, atol=1e-4, rtol=1e-4)
    # The step computes with the same: no gap to such an engine, and a ratio of 1.
    assert first["metrics"]["gap"] == pytest.approx(0.0, abs=1e-5)
    assert first["metrics"]["ratio"] == pytest.approx(1.0, abs=1e-5)


def test_a_difference_of_engine_and_trainer_is_weighed_and_never_clipped(seen):
    first = seen["recipe"][0]
    assert first["metrics"]["ratio"] == pytest.approx(1.0)
    assert first["metrics"]["clipped"] == 0
    # Positions in turn are off by OFF; the mean is over all 31 tokens.
    off = [OFF[i % 3] for length in LENGTHS for i in range(length)]
    assert first["metrics"]["gap"] == pytest.approx(sum(map(abs, off)) / len(off), abs=1e-4)
    # exp(0.7) is above the cap of 2.
    weights = {0.4: 2.718281828**-0.4, -0.7: 2.0, 0.0: 1.0}
    assert first["metrics"]["weight"] == pytest.approx(
        sum(weights[one] for one in off) / len(off), abs=1e-4
    )
    assert seen["lag"][0] == first


def test_without_a_mismatch_the_correction_changes_nothing(seen):
    one, other = seen["no mismatch"][0], seen["no correction"][0]
    assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
    assert one["metrics"]["weight"] == pytest.approx(1.0, abs=1e-4)


def test_micro_batches_change_no_sum(seen):
    pairs = [
        ("recipe", "recipe, other micro-batches"),
        ("length-free", "length-free, one by one"),
    ]
    for one, other in pairs:
        for name in ("loss", "grad_norm"):
            ours, theirs = seen[one][0][name], seen[other][0][name]
            assert ours == pytest.approx(theirs, abs=1e-5, rel=1e-5)


def test_on_policy_losses_are_those_worked_out_from_lengths_and_advantages(seen):
    weighed = sum(a * n for a, n in zip(ADVANTAGES, LENGTHS, strict=True))
    # The ratio is 1, so a token's term is -A.
    assert seen["no correction"][0]["loss"] == pytest.approx(-weighed / sum(LENGTHS), abs=1e-5)
    assert seen["sequence"][0]["loss"] == pytest.approx(-sum(ADVANTAGES) / 6, abs=1e-5)
    assert seen["length-free"][0]["loss"] == pytest.approx(-weighed / (6 * 12), abs=1e-5)
    assert [seen[name][0]["tokens"] for name in ("no correction", "sequence")] == [31, 6]


def test_masked_weights_take_the_gradient_of_tokens_above_the_cap(seen):
    off = [OFF[i % 3] for length in LENGTHS for i in range(length)]
    weights = {0.4: 2.718281828**-0.4, -0.7: 0.0, 0.0: 1.0}
    assert seen["mask"][0]["metrics"]["weight"] == pytest.approx(
        sum(weights[one] for one in off) / len(off), abs=1e-4
    )
    assert seen["lower cap"][0]["metrics"]["weight"] < seen["recipe"][0]["metrics"]["weight"]
    assert len({seen[name][0]["grad_norm"] for name in ("recipe", "mask", "lower cap")}) == 3


def test_later_updates_of_a_step_are_clipped_around_its_first_policy(seen):
    several = seen["three updates"][0]
    assert [step["step"] for step in seen["three updates"]] == [6, 7]
    assert several["metrics"]["ratio"] != pytest.approx(1.0, abs=1e-6)
    assert several["metrics"]["clipped"] > 0
    assert seen["three updates, wide"][0]["metrics"]["clipped"] < several["metrics"]["clipped"]
    for name in ("narrow above", "narrow below", "sequence ratio"):
        other = seen[f"three updates, {name}"][0]
        assert other["loss"] != pytest.approx(several["loss"], abs=1e-5), name
    for name in ("narrow above", "narrow below"):
        other = seen[f"three updates, {name}"][0]
        assert other["metrics"]["clipped"] > several["metrics"]["clipped"], name


def test_a_kl_penalty_compares_with_the_weights_that_training_starts_from(seen):
    for name in ("k1", "k2", "k3"):
        first, second = seen[f"kl {name}"]
        # The policy is still the reference, and the penalty has neither value nor gradient.
        assert first["metrics"]["kl"] == pytest.approx(0.0, abs=1e-6)
        assert first["grad_norm"] == pytest.approx(seen["no correction"][0]["grad_norm"], rel=1e-5)
        assert abs(second["metrics"]["kl"]) > 1e-5
        weighed = sum(a * n for a, n in zip(ADVANTAGES, LENGTHS, strict=True))
        penalty = 0.5 * second["metrics"]["kl"]
        assert second["loss"] == pytest.approx(penalty - weighed / sum(LENGTHS), abs=1e-4)
    second = {name: seen[f"kl {name}"][1] for name in ("k1", "k2", "k3")}
    assert len({round(step["metrics"]["kl"], 6) for step in second.values()}) == 3
    # Both have the gradient (log p - log r) * grad log p.
    assert second["k1"]["grad_norm"] == pytest.approx(second["k2"]["grad_norm"], rel=1e-4)
    assert second["k3"]["grad_norm"] != pytest.approx(second["k2"]["grad_norm"], rel=1e-3)


def test_samples_are_shared_among_updates_and_none_is_empty():
    examples = [Example([1], [n], {}, {}) for n in range(7)]
    assert [len(part) for part in updates(examples, 3)] == [2, 2, 3]
    assert [e for part in updates(examples, 3) for e in part] == examples
    assert [len(part) for part in updates(examples[:2], 5)] == [1, 1]
