"""launch/slurm.sh on a Slurm cluster of two nodes: whatever ends a job, the losses are the same."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from tests.cluster import slurm
from tests.megatron_train import tiny
from tests.megatron_train.test_pretrain import OPTIONS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing() or "it is there"),
]
STEPS = 40
# A step of a second, so that the events below come between two of them.
SETTINGS = [
    *OPTIONS,
    *(f"schedule.steps={STEPS}", "save_every=7", "keep=1", "optim.lr=0.003"),
]


@pytest.fixture(scope="module")
def undisturbed(token_folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    shutil.copytree(token_folder, run)
    tiny.launch(2, "-m", "megatron_train.pretrain", f"output={run}", *SETTINGS, timeout=1800)
    return run


@pytest.fixture
def cluster(tmp_path):
    started = slurm.Slurm(tmp_path / "slurm")
    yield started
    started.stop()


class SlurmJob:
    """One job of launch/slurm.sh on both nodes, under as many lives as it takes."""

    def __init__(self, cluster: slurm.Slurm, run: Path):
        self.cluster, self.run, self.log = cluster, run, run.with_suffix(".log")
        words = ["sbatch", "--parsable", "--nodes=2", "--gpus-per-node=0", "--cpus-per-task=1"]
        words += ["--time=90", "--signal=B:USR1@60", f"--output={self.log}"]
        program = ["tests.megatron_train.slow_pretrain", "1", f"output={run}", *SETTINGS]
        bin_folder = Path(sys.executable).parent
        cluster.environment |= tiny.environment() | {
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "GPUS_PER_NODE": "1",
            "GLOO_SOCKET_IFNAME": "lo",
            "PORT": str(slurm._free_ports(1)[0]),
        }
        self.number = cluster.run(
            *words, f"--chdir={tiny.ROOT}", "launch/slurm.sh", *program
        ).strip()

    def steps(self) -> int:
        path = self.run / "pretrain" / "metrics.jsonl"
        return len(path.read_text().splitlines()) if path.is_file() else 0

    def state(self) -> str:
        return self.cluster.job(self.number)["JobState"]

    def wait(self, reached, what: str, seconds: float = 1500) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            said = self.log.read_text()[-3000:] if self.log.is_file() else ""
            assert time.monotonic() < deadline, f"{what}: {self.cluster.job(self.number)}\n{said}"
            time.sleep(0.5)

    def wait_for_step(self, step: int) -> None:
        self.wait(lambda: self.steps() >= step, f"step {step}")

    def goes_on(self) -> None:
        """Do not wait for the minutes after which Slurm itself lets a requeued job start."""
        self.wait(lambda: self.state() == "PENDING", "the queue")
        self.cluster.run(
            "scontrol", "update", f"JobId={self.number}", "TimeLimit=90", "StartTime=now"
        )


def test_after_a_signal_a_limit_a_preemption_and_a_lost_node_the_losses_are_the_same(
    cluster, undisturbed, token_folder, tmp_path
):
    run = tmp_path / "run"
    shutil.copytree(token_folder, run)

    # A user's TERM saves, and the job ends as failed.
    first = SlurmJob(cluster, run)
    first.wait_for_step(3)
    cluster.run("scancel", "--signal=TERM", first.number)
    first.wait(lambda: first.state() == "FAILED", "the end")
    assert "stopped by SIGTERM after step" in first.log.read_text()
    assert "put back into the queue" not in first.log.read_text()

    # USR1 before the limit saves, and the job is back in the queue.
    job = SlurmJob(cluster, run)
    job.wait_for_step(10)
    minutes = int(cluster.job(job.number)["RunTime"].split(":")[1]) + 1
    cluster.run("scontrol", "update", f"JobId={job.number}", f"TimeLimit={minutes}")
    job.wait(lambda: "put back into the queue" in job.log.read_text(), "the limit")
    assert "stopped by SIGUSR1 after step" in job.log.read_text()
    job.goes_on()

    # A job of a partition that preempts this one.
    job.wait_for_step(max(job.steps(), 12) + 3)
    high = cluster.run(
        *("sbatch", "--parsable", "--partition=high", "--nodes=2", "--exclusive", "--time=5"),
        *(f"--output={tmp_path}/high.log", "--wrap", "sleep 2"),
    ).strip()
    job.wait(lambda: job.log.read_text().count("put back into the queue") == 2, "preemption")
    job.wait(lambda: cluster.job(high)["JobState"] == "COMPLETED", "the other job")
    job.goes_on()

    # A node is lost, and comes back.
    before = job.steps()
    job.wait_for_step(before + 4)
    cluster.lose("node2")
    job.wait(lambda: job.state() == "PENDING", "the lost node")
    cluster.start_node("node2")
    job.goes_on()

    job.wait(lambda: job.state() == "COMPLETED", "the end")
    assert losses(run) == losses(undisturbed)
    assert int(cluster.job(job.number)["Restarts"]) >= 3
    assert (run / "hf" / "model.safetensors").is_file()


def losses(run: Path) -> list[tuple]:
    lines = (run / "pretrain" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row["step"], row["loss"], row["val_loss"], row["grad_norm"]) for row in rows]
