"""A stage plan: what each stage inherits, what differs, and a run through all stages."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.stages import StagesConfig
from megatron_train import stages
from megatron_train.checkpoint import sharded
from tests.megatron_train import tiny
from tests.megatron_train.test_pretrain import finish, rows

SMALL = [
    *(
        "model.layers=2",
        "model.hidden=32",
        "model.ffn=64",
        "model.heads=2",
        "model.kv_heads=2",
        "model.seq_length=64",
    ),
    *("batch.micro=2", "batch.total=8", "eval_every=0", "save_every=2", "samples=false"),
]
PLAN = {
    "stages": [
        {"name": "stable", "tokens": 3000, "lr": 0.01, "warmup_steps": 2, "set": SMALL},
        {
            "name": "decay",
            "parent": "stable",
            "tokens": 1500,
            "lr": 0.01,
            "final_lr": 0.001,
            "set": SMALL,
        },
        {
            "name": "long",
            "parent": "decay",
            "tokens": 1024,
            "lr": 0.001,
            "seq_length": 128,
            "rope_base": 1_000_000,
            "set": [*SMALL, "batch.total=4"],
        },
    ]
}


@pytest.fixture
def plan_file(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text("# A plan\n" + yaml.safe_dump(PLAN, sort_keys=False))
    return file


def plan_of(file, output) -> StagesConfig:
    return load(StagesConfig, file, [f"output={output}"])


def test_a_stage_becomes_a_run_with_its_own_rate_length_and_parent(plan_file, tmp_path):
    plan = plan_of(plan_file, tmp_path)
    stable, decay, long = (stages.resolve(plan, stage) for stage in plan.stages)
    assert (stable.schedule.steps, stable.schedule.warmup_steps, stable.schedule.decay_steps) == (
        6,
        2,
        0,
    )
    assert (decay.schedule.steps, decay.schedule.decay_steps, decay.optim.min_lr) == (3, 3, 0.001)
    assert (long.model.seq_length, long.model.rope_base, long.schedule.steps) == (128, 1_000_000, 2)
    assert stable.parent == ""
    assert decay.parent == str(tmp_path / "stages" / "stable" / "pretrain" / "checkpoints")
    # Both have one order of samples, in which the second goes on.
    assert stable.seed == decay.seed
    # Its sequences are longer, so it has another order.
    assert long.seed != decay.seed
    assert stable.data.blend[0].tokens == str(tmp_path / "tokens")


@pytest.mark.parametrize("name", ["seed_coder_8b", "demo"])
def test_every_stage_of_the_shipped_plans_is_a_sound_config(name):
    plan = load(StagesConfig, f"conf/stages/{name}.yaml")
    tokens = [stages.resolve(plan, stage).schedule.steps for stage in plan.stages]
    assert all(tokens)
    if name == "seed_coder_8b":
        # The paper trains on 6T tokens (Sec 2.3).
        assert sum(stage.tokens for stage in plan.stages) == 6e12


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (
            {"name": "a", "tokens": 1, "parent": "b"},
            "begins after b, which is not declared before it",
        ),
        ({"name": "a/b", "tokens": 1}, "'a/b' becomes a folder's"),
        ({"name": "a", "tokens": 0}, "tokens=0"),
        ({"name": "a", "tokens": 1, "lr": 0.1, "final_lr": 0.2}, "would raise the rate"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(stage, words, tmp_path):
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({"stages": [stage]}))
    with pytest.raises(SeedbedError, match=words):
        load(StagesConfig, tmp_path / "plan.yaml")


def test_a_setting_that_cannot_work_names_its_stage(plan_file, tmp_path):
    plan = load(StagesConfig, plan_file)
    broken = stages.dataclasses.replace(plan.stages[2], set=["parallel.cp=3"])
    with pytest.raises(
        SeedbedError, match=r"stage long: model.seq_length must divide by 2 \* parallel.cp"
    ):
        stages.resolve(plan, broken)


def test_two_stages_are_told_apart_by_their_settings(plan_file, tmp_path):
    said = stages.diff(plan_of(plan_file, tmp_path), "stable", "decay")
    assert "optim.min_lr: 0.01 -> 0.001" in said
    assert "schedule.steps: 6 -> 3" in said
    assert not any(line.startswith("model.") for line in said)
    with pytest.raises(SeedbedError, match="the plan has no stage nowhere"):
        stages.diff(plan_of(plan_file, tmp_path), "stable", "nowhere")


def test_a_branch_is_a_copy_with_other_fields_added_to_the_plan(plan_file, tmp_path):
    stages.main(
        [
            "branch",
            "--config",
            str(plan_file),
            f"output={tmp_path}",
            "decay",
            "decay_far",
            "final_lr=1e-4",
        ]
    )
    assert plan_file.read_text().startswith("# A plan\n")
    grown = plan_of(plan_file, tmp_path)
    assert [stage.name for stage in grown.stages] == ["stable", "decay", "long", "decay_far"]
    assert (grown.stages[3].parent, grown.stages[3].final_lr, grown.stages[3].lr) == (
        "stable",
        1e-4,
        0.01,
    )
    before = plan_file.read_text()
    with pytest.raises(SeedbedError, match="two stages named decay_far"):
        stages.main(
            ["branch", "--config", str(plan_file), f"output={tmp_path}", "decay", "decay_far"]
        )
    assert plan_file.read_text() == before


@pytest.mark.slow
def test_a_plan_killed_on_its_way_goes_on_to_the_end_on_two_processes(
    plan_file, token_folder, tmp_path
):
    run = tmp_path / "run"
    shutil.copytree(token_folder, run)
    command = [
        *tiny.launcher(2),
        "-m",
        "megatron_train.stages",
        "resume",
        "--config",
        str(plan_file),
        f"output={run}",
    ]

    def start() -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            command, cwd=tiny.ROOT, env=tiny.environment(), start_new_session=True, **pipes
        )

    first = start()
    decay = run / "stages" / "decay"
    deadline = time.monotonic() + 200
    while not rows(decay):
        assert first.poll() is None, finish(first, None)
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for child in subprocess.check_output(["pgrep", "-P", str(first.pid)], text=True).split():
        os.killpg(os.getpgid(int(child)), signal.SIGKILL)
    finish(first, None)
    said = finish(start())
    # This stage was done before.
    assert "stage stable" not in said
    assert "stage long" in said
    plan = plan_of(plan_file, run)
    assert [stages.state_of(stages.resolve(plan, stage))[0] for stage in plan.stages] == [
        "done"
    ] * 3
    # Each stage begins with the weights of its parent, and behind the last sample that it read.
    assert [row["first_sample"] for row in rows(decay)] == [48, 56, 64]
    assert rows(run / "stages" / "long")[0]["first_sample"] == 0
    assert rows(decay)[0]["loss"] < rows(run / "stages" / "stable")[0]["loss"] - 0.5
    assert (
        sharded.read_manifest(run / "stages/long/pretrain/checkpoints")["architecture"]["rope_base"]
        == 1_000_000
    )
    status = stages.status(plan)
    assert "done 6" in status
    assert "changed since it ran" not in status
    other = plan_of(plan_file, run)
    changed = stages.dataclasses.replace(other.stages[1], final_lr=0.002)
    assert "optim.min_lr: 0.001 -> 0.002" in stages.changed(stages.resolve(other, changed))
    assert Path(run / "stages" / "long" / "hf" / "config.json").is_file()
