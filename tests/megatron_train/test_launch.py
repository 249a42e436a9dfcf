"""The launch files start what they say.

No cluster is at hand: Slurm's file is run dry, and the one of Kubernetes is read.
"""

from __future__ import annotations

import subprocess

import yaml

from conf.loader import load
from conf.schema.pretrain import PretrainConfig, check_world
from tests.megatron_train import tiny


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
        "torchrun --nnodes 8 --nproc-per-node 8 --max-restarts 3 --rdzv-backend c10d "
        "--rdzv-endpoint localhost:29500 --rdzv-id 7 -m megatron_train.pretrain "
        "--config C.yaml output=/shared/run"
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
