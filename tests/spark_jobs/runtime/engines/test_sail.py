"""Sail as a process of its own: its start, its end, and what it says when it is killed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.schema.curate import SparkSettings
from spark_jobs.runtime import session
from spark_jobs.runtime.engines import sail

# Starts a session, names both processes, runs a query of a Python function, and waits.
PROGRAM = """
import os, sys, time
from conf.schema.curate import SparkSettings
from spark_jobs.runtime import session
spark = session.start(SparkSettings(), "t", sys.argv[1])
def pids(batches):
    import pyarrow as pa
    for batch in batches:
        print("said in the server" * 10000)
        yield pa.RecordBatch.from_pydict({"pid": pa.array([os.getppid()], pa.int64())})
print(session.engine()._server.pid, flush=True)
print(spark.range(1).mapInArrow(pids, "pid long").first().pid, flush=True)
time.sleep(600)
"""
# Kills the server and asks it again.
KILLED = """
import os, signal, sys
from conf.loader import load
from conf.errors import run_cli
from conf.schema.curate import CurateConfig
from spark_jobs.runtime import session
from spark_jobs.runtime.job import CustomJob, execute
def run(ctx):
    ctx.spark.range(3).count()
    os.kill(session.engine()._server.pid, signal.SIGKILL)
    return ctx.spark.range(3).count()
cfg = load(CurateConfig, None, [f"output={sys.argv[1]}"])
run_cli(lambda argv: execute(CustomJob("doomed", (), run), cfg), [])
"""
# Waits longer than the server keeps a session, with 1 as second argument, and asks again.
IDLE = """
import sys, time
from conf.loader import load
from conf.errors import run_cli
from conf.schema.curate import CurateConfig
from spark_jobs.runtime.job import CustomJob, execute
def run(ctx):
    ctx.spark.range(3).count()
    time.sleep(4)
    print("rows:", ctx.spark.range(3).count())
idle = {"SAIL_SPARK__SESSION_TIMEOUT_SECS": "1"} if sys.argv[2] == "1" else {}
cfg = load(CurateConfig, None, [f"output={sys.argv[1]}", f"spark.sail={idle}"])
run_cli(lambda argv: execute(CustomJob("patient", (), run), cfg), [])
"""


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_server_ends_with_a_job_that_is_killed(tmp_path):
    log = tmp_path / "engine.log"
    job = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(log)], stdout=subprocess.PIPE, text=True
    )
    server = int(job.stdout.readline())
    # A function runs below the job, and what it prints fills no pipe.
    assert job.stdout.readline()
    assert server != job.pid
    assert alive(server)
    assert "said in the server" in log.read_text()
    job.kill()
    job.wait()
    for _ in range(100):
        if not alive(server):
            break
        time.sleep(0.1)
    assert not alive(server)


def test_a_killed_server_is_one_error_with_a_fix(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "doomed: the engine (sail) has ended: it was killed (SIGKILL)" in done.stderr
    assert "fix: read DIR/curate/engine.log" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_session_that_a_server_dropped_is_told_with_what_keeps_it(tmp_path):
    told = subprocess.run(
        [sys.executable, "-c", IDLE, str(tmp_path), "1"], capture_output=True, text=True
    )
    assert told.returncode == 2
    assert "patient: the engine (sail) has dropped a session that asked nothing" in told.stderr
    assert "SAIL_SPARK__SESSION_TIMEOUT_SECS" in told.stderr
    assert "Traceback" not in told.stderr


def test_our_own_server_keeps_a_session_for_longer_than_any_job_waits(tmp_path):
    assert sail.environment(SparkSettings())["SAIL_SPARK__SESSION_TIMEOUT_SECS"] == "31536000"
    told = subprocess.run(
        [sys.executable, "-c", IDLE, str(tmp_path), ""], capture_output=True, text=True
    )
    # The number is one that the server takes.
    assert "rows: 3" in told.stdout, told.stderr


def test_a_machine_without_sail_is_told_how_to_go_on(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SeedbedError, match="needs the package pysail") as caught:
        sail.start(SparkSettings(), str(tmp_path / "log"))
    assert "spark.engine=spark" in caught.value.fix


def test_a_server_that_does_not_start_is_told_by_its_last_words(monkeypatch, tmp_path):
    settings = SparkSettings(sail={"SAIL_EXECUTION__BATCH_SIZE": "many"})
    with pytest.raises(SeedbedError, match=r"Sail did not start: .*many"):
        sail.start(settings, str(tmp_path / "log"))


def test_memory_is_bounded_and_functions_find_the_modules_of_the_job():
    found = sail.environment(SparkSettings(memory="3g"))
    assert found["SAIL_RUNTIME__MEMORY_POOL__TYPE"] == "fair"
    assert found["SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE"] == str(3 << 30)
    assert str(Path(__file__).parents[4]) in found["PYTHONPATH"].split(os.pathsep)


def test_tasks_that_sort_have_room_for_a_batch_in_their_share_of_the_pool(spark):
    engine = session.engine()
    if engine.name != "sail":
        pytest.skip("other engines run as many tasks at once as they have cores")
    # The engine of the tests has a pool of 2 GB.
    most = max(engine.parallelism, 4)
    assert [engine.sorting_tasks(wanted) for wanted in (1, 1_000, 30_000)] == [1, most, most]
