"""What a killed run leaves behind: no process, and no claim on its folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from seedbed.files import claim
from tests.megatron_train import tiny

TRAINER = """
import os, signal, sys
from pathlib import Path
from megatron.core.dist_checkpointing.strategies import filesystem_async
from megatron_train.checkpoint import sharded
writer = sharded.CheckpointWriter(Path("nowhere"), keep=1, background=True)
queue = filesystem_async._results_queue
if os.fork() == 0:
    queue.put("written")
    os._exit(0)
os.wait()
print(queue.get_nowait(), queue._manager._process.pid, flush=True)
signal.pause()
"""


RANK = """
import time
from megatron_train.parallel import processes
processes.run_ranks(lambda argv: print("up", flush=True) or time.sleep(600))
"""
LAUNCHER = f"""
import subprocess, sys
rank = subprocess.Popen([sys.executable, "-c", {RANK!r}], stdout=subprocess.PIPE, text=True)
print(rank.stdout.readline().strip(), rank.pid, flush=True)
rank.wait()
"""


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().split(") ")[1][0] != "Z"


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


@pytest.mark.slow
def test_a_forked_writer_is_heard_and_the_queue_s_process_dies_with_a_killed_trainer():
    trainer = subprocess.Popen(
        [sys.executable, "-c", TRAINER],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tiny.ROOT,
        env=tiny.environment(),
    )
    heard, pid = trainer.stdout.readline().split()
    assert heard == "written"
    # A scheduler sends SIGTERM to all. The trainer saves, and needs the queue.
    os.kill(int(pid), signal.SIGTERM)
    time.sleep(0.2)
    assert alive(int(pid))
    trainer.kill()
    trainer.wait()
    assert ends(int(pid))


@pytest.mark.slow
def test_a_process_that_torchrun_started_dies_with_it():
    environment = tiny.environment() | {"TORCHELASTIC_RUN_ID": "none"}
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tiny.ROOT,
        env=environment,
    )
    heard, pid = launcher.stdout.readline().split()
    assert heard == "up"
    launcher.kill()
    launcher.wait()
    assert ends(int(pid))


HOLDER = """
import sys, time
from pathlib import Path
from seedbed.files import claim
claim(Path(sys.argv[1])), claim(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_a_folder_is_one_run_s_until_that_is_killed(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tiny.ROOT,
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(SeedbedError, match="another run writes to"):
        claim(tmp_path)
    holder.kill()
    holder.wait()
    claim(tmp_path)
