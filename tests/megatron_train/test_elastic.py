"""torchrun starts a run again when a process of it is killed, and the losses are the same."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.megatron_train import tiny
from tests.megatron_train.test_pretrain import OPTIONS, finish, rows, start

EVENLY = ["eval_every=0", "batch.micro=4"]


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_no_step(token_folder, tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    for folder in (whole, run):
        shutil.copytree(token_folder, folder)
    finish(start(whole, *EVENLY, processes=2))
    command = [
        *tiny.launcher(2),
        *("--max-restarts", "1", "-m", "megatron_train.pretrain", f"output={run}"),
        *(*OPTIONS, *EVENLY),
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(
        command, cwd=tiny.ROOT, env=tiny.environment(), start_new_session=True, **pipes
    )
    try:
        deadline = time.monotonic() + 900
        while len(rows(run)) < 8:
            assert process.poll() is None, finish(process, None)
            assert time.monotonic() < deadline
            time.sleep(0.02)
        children = subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).split()
        os.kill(int(children[0]), signal.SIGKILL)
        said, errors = process.communicate(timeout=900)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    assert process.returncode == 0, errors[-4000:]
    assert "resumed at step" in said
    assert [row["loss"] for row in rows(run)] == [row["loss"] for row in rows(whole)]
