"""The launch files start what they say.

No cluster is at hand: Slurm's file is run dry, and the one of Kubernetes is read.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import pytest
import yaml

from conf.loader import load
from conf.schema.pretrain import PretrainConfig, check_world
from seedbed.cli import command_line
from seedbed.commands import COMMANDS
from tests.megatron_train import tiny
from tests.megatron_train.test_pretrain import OPTIONS, rows


def test_the_slurm_script_runs_torchrun_on_every_node():
    environment = tiny.environment() | {
        "SEEDBED_DRY_RUN": "1",
        "SLURM_JOB_NUM_NODES": "8",
        "SLURM_JOB_ID": "7",
    }
    command = [
        "bash",
        "launch/slurm.sh",
        "megatron_train.pretrain",
        "--config",
        "C.yaml",
        "output=/shared/run",
    ]
    said = subprocess.run(
        command, cwd=tiny.ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert said.strip() == (
        "torchrun --nnodes 8 --nproc-per-node 8 --max-restarts 3 "
        "--shutdown-timeout 540 --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 "
        "--rdzv-backend c10d --rdzv-endpoint localhost:29500 --rdzv-id 7 "
        "-m megatron_train.pretrain --config C.yaml output=/shared/run"
    )


def test_the_kubernetes_job_asks_for_processes_that_its_config_can_use():
    job = yaml.safe_load((tiny.ROOT / "launch/pytorchjob.yaml").read_text())
    spec = job["spec"]
    worker = spec["pytorchReplicaSpecs"]["Worker"]
    [container] = worker["template"]["spec"]["containers"]
    assert (job["kind"], container["name"]) == ("PyTorchJob", "pytorch")
    assert (
        spec["elasticPolicy"]["minReplicas"]
        == spec["elasticPolicy"]["maxReplicas"]
        == worker["replicas"]
    )
    assert container["resources"]["limits"]["nvidia.com/gpu"] == int(spec["nprocPerNode"])
    _, config, *overrides = container["args"]
    cfg = load(PretrainConfig, tiny.ROOT / config, overrides)
    assert (
        check_world(cfg.parallel, cfg.batch, worker["replicas"] * int(spec["nprocPerNode"])) == 16
    )
    mounted = {volume["name"] for volume in worker["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == mounted


@pytest.mark.slow
def test_a_step_longer_than_the_patience_of_torchrun_is_saved_after_sigterm(token_folder, tmp_path):
    """torchrun itself kills 30 s after it has handed SIGTERM on."""
    run = tmp_path / "run"
    shutil.copytree(token_folder, run)
    command = command_line(COMMANDS["pretrain"], ["--nproc", "2", f"output={run}", *OPTIONS], {})
    # The first step is slow, too, and the first row comes after it.
    command[command.index("megatron_train.pretrain")] = "tests.megatron_train.slow_pretrain"
    command.insert(command.index("tests.megatron_train.slow_pretrain") + 1, "45")
    process = subprocess.Popen(
        command,
        cwd=tiny.ROOT,
        env=tiny.environment(),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 900
        while not rows(run):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=900)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert "stopped by SIGTERM after step 2" in said, said[-3000:]
    assert (run / "pretrain" / "checkpoints" / "latest").read_text() == "step_00000002\n"
