"""Processes and their groups."""

from __future__ import annotations

import subprocess
import sys

from tests.megatron_train import tiny

ALONE = """
import os
from conf.schema.pretrain import ParallelConfig
from megatron_train.parallel import processes
processes.start(ParallelConfig(), seed=1)
print(processes.world(), processes.on_main(lambda: "said"), "MASTER_PORT" in os.environ)
processes.stop()
"""


def test_one_process_alone_joins_no_meeting_place_with_a_port():
    """Two programs on one machine could draw the same free port, and one of them then died."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, cwd=tiny.ROOT, check=False
    )
    assert done.stdout.split() == ["1", "said", "False"], done.stderr
