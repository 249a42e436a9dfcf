"""A disk that fills up in the middle of a curate run: one clear error; with more room the same command ends as if nothing was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spark_jobs.certify import hashes
from tests import corpus

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
ISOLATE = ["unshare", "--user", "--map-root-user", "--mount"]
# In one mount namespace: a small disk, the run, more room, the run again, and what it left copied to where it can be read.
SCRIPT = """
mount -t tmpfs -o size=1m none "$DISK" || exit 99
"$@" "output=$DISK/run" >"$OUT/first" 2>&1
echo $? >"$OUT/code"
mount -o remount,size=1g "$DISK" || exit 99
"$@" "output=$DISK/run" >"$OUT/second" 2>&1 || exit 1
cp -r "$DISK/run" "$OUT/run"
"""


def test_a_full_disk_costs_a_restart_and_nothing_else(tmp_path):
    if subprocess.run([*ISOLATE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this host lets no one make a mount namespace: unshare --user --mount fails")
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    out.mkdir()
    source = corpus.build(tmp_path / "source")
    command = [sys.executable, "-m", "spark_jobs", "run", "shards=2", "tokens.vocab_size=600"]
    command += [f"input={source}", "spark.master=local[2]"]
    environment = os.environ | {"DISK": str(disk), "OUT": str(out)}
    done = subprocess.run(
        [*ISOLATE, "bash", "-c", SCRIPT, "-", *command], cwd=ROOT, env=environment, check=False
    ).returncode
    assert done == 0, (out / "second").read_text()[-3000:]
    first = (out / "first").read_text()
    assert (out / "code").read_text() == "2\n", first[-3000:]
    assert "error: " in first
    assert "disk is full" in first or "No space left on device" in first
    assert "Traceback" not in first
    subprocess.run([*command, f"output={tmp_path / 'whole'}"], cwd=ROOT, check=True)
    assert hashes(str(out / "run")) == hashes(str(tmp_path / "whole"))
