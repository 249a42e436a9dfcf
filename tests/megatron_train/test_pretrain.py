"""The pretraining command learns, goes on after any kind of end, and says what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.megatron_train import tiny

STEPS = 14
OPTIONS = [
    *(
        "model.layers=2",
        "model.hidden=32",
        "model.ffn=64",
        "model.heads=2",
        "model.kv_heads=1",
        "model.seq_length=64",
    ),
    *(
        "batch.micro=2",
        "batch.total=8",
        "optim.lr=0.01",
        f"schedule.steps={STEPS}",
        "schedule.warmup_steps=2",
    ),
    *("schedule.decay_steps=4", "eval_every=7", "eval_batches=2", "save_every=3", "samples=false"),
]


def start(run: Path, *more: str, processes: int = 1) -> subprocess.Popen[str]:
    command = [
        *tiny.launcher(processes),
        "-m",
        "megatron_train.pretrain",
        f"output={run}",
        *OPTIONS,
        *more,
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        command, cwd=tiny.ROOT, env=tiny.environment(), text=True, start_new_session=True, **pipes
    )


def finish(process: subprocess.Popen[str], code: int | None = 0) -> str:
    out, err = process.communicate(timeout=240)
    assert code is None or process.returncode == code, (
        f"exit {process.returncode}\n{out[-2000:]}\n{err[-4000:]}"
    )
    return out + err


def rows(run: Path) -> list[dict]:
    path = run / "pretrain" / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def wait_for_step(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while len(rows(run)) < step:
        assert process.poll() is None, finish(process, None)
        assert time.monotonic() < deadline
        time.sleep(0.02)


def copy_of(token_folder: Path, target: Path) -> Path:
    shutil.copytree(token_folder, target)
    return target


@pytest.fixture(scope="module")
def undisturbed(token_folder, tmp_path_factory):
    run = copy_of(token_folder, tmp_path_factory.mktemp("undisturbed") / "run")
    finish(start(run, "samples=true"))
    return run


def test_it_learns_and_leaves_checkpoints_metrics_samples_and_an_export(undisturbed):
    written = rows(undisturbed)
    assert [row["step"] for row in written] == list(range(1, STEPS + 1))
    assert written[-1]["loss"] < written[0]["loss"] - 1.0
    assert [row["step"] for row in written if row["val_loss"] is not None] == [7, 14]
    assert written[-1]["tokens"] == STEPS * 8 * 64
    checkpoints = undisturbed / "pretrain" / "checkpoints"
    assert sorted(p.name for p in checkpoints.iterdir()) == [
        "latest",
        "step_00000012",
        "step_00000014",
    ]
    samples = json.loads((undisturbed / "pretrain" / "samples.json").read_text())
    assert [entry["step"] for entry in samples] == [0, STEPS]
    assert samples[0]["completions"][0].keys() == {"prompt", "completion"}
    config = json.loads((undisturbed / "hf" / "config.json").read_text())
    assert (config["eos_token_id"], config["pad_token_id"], config["vocab_size"]) == (
        0,
        1,
        tiny.VOCAB,
    )
    assert (undisturbed / "hf" / "tokenizer.json").is_file()


@pytest.mark.slow
def test_killed_in_the_middle_and_stopped_by_sigterm_it_ends_with_the_same_losses(
    token_folder, undisturbed, tmp_path
):
    run = copy_of(token_folder, tmp_path / "run")
    killed = start(run)
    wait_for_step(run, 5, killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    with (run / "pretrain" / "metrics.jsonl").open("a") as file:
        # The kill cut this row short.
        file.write('{"step": 6, "lo')
    # The kill cut this save short.
    (run / "pretrain" / "checkpoints" / "step_00000099.partial").mkdir()

    stopped = start(run)
    wait_for_step(run, 8, stopped)
    stopped.send_signal(signal.SIGTERM)
    said = finish(stopped)
    assert "resumed at step 3" in said or "resumed at step 6" in said
    assert "stopped by SIGTERM" in said

    said = finish(start(run))
    assert "resumed at step" in said
    assert [(row["step"], row["loss"], row["val_loss"]) for row in rows(run)] == [
        (row["step"], row["loss"], row["val_loss"]) for row in rows(undisturbed)
    ]
    assert not list((run / "pretrain" / "checkpoints").glob("*.partial"))


def test_a_resume_with_another_batch_is_refused_with_both_values(undisturbed):
    said = finish(start(undisturbed, "batch.total=4"), code=2)
    assert "batch.total: 8 then, 4 now" in said


@pytest.mark.slow
def test_four_processes_killed_and_resumed_have_the_losses_of_one_process(
    token_folder, undisturbed, tmp_path
):
    run = copy_of(token_folder, tmp_path / "run")
    layout = ["parallel.tp=2", "parallel.pp=2", "model.kv_heads=2"]
    whole = copy_of(token_folder, tmp_path / "whole")
    finish(start(whole, "model.kv_heads=2"))
    killed = start(run, *layout, processes=4)
    wait_for_step(run, 5, killed)
    for child in subprocess.check_output(["pgrep", "-P", str(killed.pid)], text=True).split():
        # The processes that write its checkpoints die with it.
        os.killpg(os.getpgid(int(child)), signal.SIGKILL)
    finish(killed, None)
    finish(start(run, *layout, processes=4))
    assert [row["loss"] for row in rows(run)] == pytest.approx(
        [row["loss"] for row in rows(whole)], abs=1e-4
    )


@pytest.mark.slow
def test_when_one_process_dies_the_others_say_so_within_a_minute(token_folder, tmp_path):
    run = copy_of(token_folder, tmp_path / "run")
    process = start(
        run, "parallel.pp=2", "schedule.steps=5000", "eval_every=0", "save_every=5000", processes=2
    )
    wait_for_step(run, 3, process)
    children = subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).split()
    os.kill(int(children[-1]), signal.SIGKILL)
    began = time.monotonic()
    said = finish(process, None)
    assert process.returncode != 0
    assert time.monotonic() - began < 60
    assert "lost contact with another one in step" in said
