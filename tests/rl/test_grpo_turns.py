"""A GRPO run in turns, from its command to its tables; one that was stopped ends like any other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conf.schema.rl import ProblemConfig
from rl.problems import problem_set
from seedbed import jsonl
from seedbed.tables import writer
from tests.tiny_model import write_model

ROOT = Path(__file__).parents[2]
TURNS = ["environment.name=mend", "environment.max_turns=2", "environment.max_context=250"]
SETTINGS = [
    *("steps=3", "prompts=2", "samples=3", "temperature=0.9", "max_prompt=90", "max_response=12"),
    *("micro_batch=2", "eval_samples=1", "save_every=1", "warmup_steps=1", "rollout_lag=1"),
    *("sandbox.workers=1", "mask_overlong=false", "drop_malformed_only=false", "clip_high=0.5"),
    *("objective.normalisation=sequence", "objective.scale_by_std=false", "optim.lr=0.002"),
    "reward.function=tests.rl.shaping.own_rewards.of_first_letter",
]


def run(out: Path, base: Path, stop_after: int, *settings: str) -> list[dict]:
    """The rollouts of a run; stop_after: steps after which it ends and goes on, 0 for none."""
    train, heldout = problem_set.generate(ProblemConfig(train=5, heldout=2, seed=3))
    jsonl.write(out / "train.jsonl", train)
    jsonl.write(out / "heldout.jsonl", heldout)
    inputs = [f"{name}_problems={out}/{name}.jsonl" for name in ("train", "heldout")]
    arguments = [f"output={out}", f"base={base}", *inputs, *SETTINGS, *settings]
    told = subprocess.run(
        [sys.executable, "-m", "tests.rl.grpo_worker", str(stop_after), *arguments],
        cwd=ROOT,
        env={**os.environ, "END_ANSWERS": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr[-4000:]
    return jsonl.rows(out / "rl/grpo/rollouts.jsonl")


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "hf")


@pytest.mark.slow
def test_a_run_in_turns_that_goes_on_has_the_rows_of_an_undisturbed_one(base, tmp_path):
    folders = [tmp_path / "stopped", tmp_path / "whole"]
    for folder in folders:
        folder.mkdir()
    # A run that was told of fewer steps draws nothing ahead of its last one.
    settings = (*TURNS, "rollout_lag=0")
    stopped, whole = (run(f, base, n, *settings) for f, n in zip(folders, (2, 0), strict=True))
    assert stopped == whole
    assert {row["turns"] for row in whole} == {2}
    for row in whole:
        starts, ends = row["spans"][::2], row["spans"][1::2]
        assert row["masked_tokens"] == starts[1] - ends[0] > 10
        assert len(row["tokens"]) == ends[1]
        assert "Mend the program" in row["earlier"][0]["observation"]
    rows = [jsonl.rows(folder / "rl/grpo/metrics.jsonl") for folder in folders]
    for one, other in zip(*rows, strict=True):
        assert one.get("loss") == other.get("loss")
        assert one.get("grad_norm") == other.get("grad_norm")
    assert {row["turns"] for row in rows[1][1:]} == {2.0}
    trained = [row for row in rows[1] if row.get("groups_with_signal")]
    assert trained
    for row in trained:
        assert row["ended"] == {"turns": 6}
        assert row["gap"] < 1e-3
        # Of two answers of 8 to 10 tokens, and none of what was told.
        assert row["tokens"] == row["response_tokens"] * row["samples_trained"] > 0
    [first, *_] = writer.rows(folders[1] / "tables/rollouts", ["step", "place"])
    assert (first["turns"], first["spans"]) == (2, whole[0]["spans"])


@pytest.mark.slow
def test_one_turn_of_mend_has_the_rows_and_losses_of_a_single_answer(base, tmp_path):
    folders = [tmp_path / name for name in ("single", "mend")]
    found = []
    for folder in folders:
        folder.mkdir()
        rows = run(folder, base, 0, f"environment.name={folder.name}", "steps=2")
        metrics = jsonl.rows(folder / "rl/grpo/metrics.jsonl")
        found.append((rows, [(row.get("loss"), row.get("grad_norm")) for row in metrics]))
    assert found[0] == found[1]
    assert {row["turns"] for row in found[0][0]} == {1}
