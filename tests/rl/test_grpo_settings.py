"""A GRPO run with every setting beyond the recipe at once, from its command to its exports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from conf.schema.rl import ProblemConfig
from rl.problems import problem_set
from seedbed import jsonl
from tests.tiny_model import write_model

SETTINGS = [
    *("steps=3", "prompts=3", "samples=3", "temperature=0.9", "max_prompt=160", "max_response=24"),
    *("micro_batch=2", "updates=2", "eval_samples=1", "save_every=1", "warmup_steps=1"),
    *("sandbox.workers=1", "mask_overlong=false", "drop_malformed_only=false", "clip_high=0.5"),
    *("lora.rank=2", "lora.alpha=5", "optim.lr=0.01", "optim.min_lr=0.01"),
    *("objective.normalisation=sequence", "objective.ratio=sequence"),
    *("objective.correction=mask", "max_importance=1.5", "objective.scale_by_std=false"),
    *("objective.kl_coefficient=0.1", "objective.kl_estimator=k1"),
    *("reward.kind=fraction", "reward.fraction_tests=2", "reward.overlong_cache=8"),
    *("reward.length_weight=0.25", "reward.malformed_penalty=0.125"),
    # An untrained model writes no program, so the verdicts alone would give no signal.
    "reward.function=tests.rl.shaping.own_rewards.of_first_letter",
    *("draw.refill_rounds=1", "draw.curriculum=true", "draw.floor=0.25"),
]


def test_all_settings_together_train_resume_and_export(tmp_path):
    base = write_model(tmp_path / "hf")
    train, heldout = problem_set.generate(ProblemConfig(train=8, heldout=2, seed=3))
    jsonl.write(tmp_path / "train.jsonl", train)
    jsonl.write(tmp_path / "heldout.jsonl", heldout)
    inputs = [f"{name}_problems={tmp_path}/{name}.jsonl" for name in ("train", "heldout")]
    arguments = [f"output={tmp_path}", f"base={base}", *inputs, *SETTINGS]
    told = subprocess.run(
        [sys.executable, "-m", "tests.rl.grpo_worker", "2", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr[-4000:]
    out = tmp_path / "rl/grpo"
    metrics = jsonl.rows(out / "metrics.jsonl")
    assert [row["step"] for row in metrics] == [0, 1, 2, 3]
    assert metrics[-1]["kl"] != 0
    assert all(row["samples_trained"] for row in metrics[1:])
    assert any(row["groups"] > 3 for row in metrics[1:]), "no group was ever replaced"
    assert all(row["groups_with_signal"] <= 3 for row in metrics[1:])
    assert all("weight" in row and row["gap"] < 1e-3 for row in metrics[1:])
    assert all(row["positions_saved"] > 0.1 for row in metrics[1:])
    drawn = jsonl.rows(out / "rollouts.jsonl")
    assert any(row["shaped_reward"] != row["reward"] for row in drawn)
    for step in (1, 2, 3):
        tasks = [row["task_id"] for row in drawn if row["step"] == step]
        assert all(tasks.count(task) == 3 for task in tasks)
    config = json.loads((out / "adapter/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (2, 5.0)
    assert (out / "hf/model.safetensors").read_bytes() != (base / "model.safetensors").read_bytes()
