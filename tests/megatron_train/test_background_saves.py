"""What a save in the background leaves behind when its trainer is killed: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.megatron_train import tiny

TRAINER = """
import os, signal, sys
from pathlib import Path
from megatron.core.dist_checkpointing.strategies import filesystem_async
from megatron_train import checkpoint
writer = checkpoint.Writer(Path("nowhere"), keep=1, background=True)
queue = filesystem_async._results_queue
if os.fork() == 0:
    queue.put("written")
    os._exit(0)
os.wait()
print(queue.get_nowait(), queue._manager._process.pid, flush=True)
signal.pause()
"""


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().split(") ")[1][0] != "Z"


def test_a_forked_writer_is_heard_and_the_queue_s_process_dies_with_a_killed_trainer():
    trainer = subprocess.Popen(
        [sys.executable, "-c", TRAINER], stdout=subprocess.PIPE, text=True, cwd=tiny.ROOT, env=tiny.environment()
    )
    heard, pid = trainer.stdout.readline().split()
    assert heard == "written"
    os.kill(int(pid), signal.SIGTERM)  # what a scheduler sends to all: the trainer saves, and needs the queue
    time.sleep(0.2)
    assert alive(int(pid))
    trainer.kill()
    trainer.wait()
    deadline = time.monotonic() + 20
    while alive(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(int(pid))
