"""Processes and their groups."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from conf.errors import SeedbedError
from megatron_train.parallel import processes
from tests.megatron_train import tiny

ALONE = """
import os
from conf.schema.pretrain import ParallelConfig
from megatron_train.parallel import processes
processes.start(ParallelConfig(), seed=1)
print(processes.world(), processes.on_main(lambda: "said"), "MASTER_PORT" in os.environ)
processes.stop()
print([name for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK") if name in os.environ])
"""


def test_one_process_alone_joins_no_meeting_place_with_a_port():
    """Two programs on one machine could draw the same free port, and one of them then died."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, cwd=tiny.ROOT, check=False
    )
    # What it set for itself does not outlive it: a child would take itself for one of several.
    assert done.stdout.split() == ["1", "said", "False", "[]"], done.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE='abc' is no whole number"),
        ({"WORLD_SIZE": "-1"}, "WORLD_SIZE='-1' is no whole number"),
        ({"LOCAL_RANK": "1.5"}, "LOCAL_RANK='1.5' is no whole number"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE='' is no whole number"),
        ({"MASTER_ADDR": "host"}, "MASTER_ADDR=host is set, but not RANK, WORLD_SIZE, MASTER_PORT"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2 is set, but not RANK, MASTER_ADDR, MASTER_PORT"),
        ({"RANK": "1"}, "RANK=1 is set, but not WORLD_SIZE"),
        (
            {"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "host", "MASTER_PORT": "1"},
            "RANK=2 does not lie below WORLD_SIZE=2",
        ),
        (
            {"RANK": "0", "WORLD_SIZE": "0", "MASTER_ADDR": "host", "MASTER_PORT": "1"},
            "RANK=0 does not lie below WORLD_SIZE=0",
        ),
    ],
)
def test_half_of_what_torchrun_sets_is_one_line_with_its_fix(monkeypatch, given, words):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert processes.started_world() == 1
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SeedbedError) as refused:
        processes.started_world()
    assert words in refused.value.problem
    assert "torchrun" in refused.value.fix


def test_what_torchrun_sets_is_taken(monkeypatch):
    given = {"RANK": "3", "WORLD_SIZE": "4", "MASTER_ADDR": "host", "MASTER_PORT": "29500"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert processes.started_world() == 4


def test_a_lost_process_is_one_line_wherever_it_is_noticed(monkeypatch, capsys):
    monkeypatch.setattr(processes, "rank", lambda: 0)

    def lost(argv: list[str]) -> None:
        raise RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer")

    monkeypatch.setattr(sys, "argv", ["program"])
    with pytest.raises(SystemExit):
        processes.run_ranks(lost)
    said = capsys.readouterr().err
    assert said.startswith("error: process 0 lost contact with another one")
    assert "fix: " in said


def test_a_full_disk_of_process_0_is_told_to_every_process(monkeypatch):
    told = []
    monkeypatch.setattr(processes, "is_main", lambda: True)
    monkeypatch.setattr(processes, "broadcast_object", lambda value: told.append(value) or value)

    def write() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/run/file")

    with pytest.raises(SeedbedError, match=r"No space left on device: /run/file"):
        processes.on_main(write)
    assert told[0][0] == "fault"

    def broken() -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        processes.on_main(broken)
