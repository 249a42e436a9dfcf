"""Two runs never write to one output, on this machine and on an object store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from conf.errors import SeedbedError
from seedbed import storage
from seedbed.stores import run_lock
from seedbed.stores.run_lock import NAME, writing

HOLD = """
import sys
from seedbed.stores.run_lock import writing
with writing(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold():
    """Starts a process that holds the lock of a root until its stdin ends."""
    started = []

    def start(root):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "held\n"
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(params=["local", "s3", "gs"])
def root(request, tmp_path):
    if request.param == "local":
        return str(tmp_path / "run")
    found = request.getfixturevalue(request.param)
    return getattr(found, "root", found)


def test_a_second_process_is_refused_and_told_who_writes(root, hold):
    process = hold(root)
    with pytest.raises(SeedbedError, match="another run writes to") as error, writing(root):
        pass
    assert f"process {process.pid} on {os.uname().nodename} since 2" in error.value.problem
    assert "another output" in error.value.fix
    process.stdin.close()
    process.wait()
    with writing(root):
        pass


def test_a_lock_of_a_killed_process_is_free_at_once(root, hold):
    process = hold(root)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with writing(root):
        pass


def test_a_block_inside_a_block_of_the_same_process_passes(root, hold):
    with writing(root):
        with writing(root + "/"):
            pass
        with pytest.raises(AssertionError):
            hold(root)
    hold(root)


def test_a_process_that_was_forked_does_not_keep_the_lock(tmp_path, hold):
    """As the one does that writes checkpoints, or a pool of workers."""
    with writing(str(tmp_path)):
        child = os.fork()
        if not child:
            signal.pause()
    try:
        hold(str(tmp_path))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_lease_that_was_lost_is_an_error_at_the_end_of_the_run(s3):
    other = {"id": "x", "expires": 9e9, "pid": 7, "host": "far", "since": "then"}
    with pytest.raises(SeedbedError, match="to process 7 on far since then"), writing(s3.root):
        storage.write_text(s3.root, NAME, json.dumps(other))


def test_a_run_that_could_not_renew_its_lease_accuses_nobody(s3, monkeypatch):
    """As on HDFS, where the data node that holds the lease is gone."""
    monkeypatch.setattr("seedbed.stores.lease.TERM_S", 0.0)
    with pytest.raises(SeedbedError, match="could not renew its lock") as error, writing(s3.root):
        monkeypatch.setattr(storage.files_of(s3.root), "_put", refuse)
    assert error.value.problem.endswith("another took it: no data node has it")
    assert "what is committed stays" in error.value.fix


def refuse(*_):
    raise SeedbedError("no data node has it", "wait")


def test_a_lease_of_another_machine_is_waited_for(s3, monkeypatch):
    other = {"host": "far", "pid": 1, "since": "then", "machine": "m", "expires": 9e9, "id": "x"}
    storage.write_text(s3.root, NAME, json.dumps(other))
    with pytest.raises(SeedbedError, match="process 1 on far since then"), writing(s3.root):
        pass
    # A number that no process of this machine has says nothing of another machine's.
    assert not run_lock._is_dead(other)
    assert run_lock._is_dead({**run_lock.holder(), "pid": 2**22 + 1})
    assert not run_lock._is_dead(run_lock.holder())


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SeedbedError, match="cannot be written"), writing(f"{tmp_path}/file/run"):
        pass


def test_a_path_that_can_hold_no_tables_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(SeedbedError, match="rename the folder"), writing(f"{tmp_path}/a%20b"):
        pass
    assert list(tmp_path.iterdir()) == []
