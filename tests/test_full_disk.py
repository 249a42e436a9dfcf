"""A disk that fills up in the middle of a curate run gives one clear error.

With more space the same command ends as if nothing had happened.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from seedbed.queries.certify import hashes
from tests import corpus

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
ISOLATE = ["unshare", "--user", "--map-root-user", "--mount"]
# In one mount namespace: a small disk, the run, more space, the run again. The output is copied to
# a folder outside the namespace.
SCRIPT = """
mount -t tmpfs -o size=1m none "$DISK" || exit 99
"$@" >"$OUT/first" 2>&1
echo $? >"$OUT/code"
mount -o remount,size=1g "$DISK" || exit 99
"$@" >"$OUT/second" 2>&1 || exit 1
cp -r "$DISK/run" "$OUT/run"
"""


def test_a_full_disk_costs_a_restart_and_nothing_else(curated, tmp_path):
    if subprocess.run([*ISOLATE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this host lets no one make a mount namespace: unshare --user --mount fails")
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    out.mkdir()
    source, whole = curated
    environment = os.environ | {"DISK": str(disk), "OUT": str(out)}
    done = subprocess.run(
        [*ISOLATE, "bash", "-c", SCRIPT, "-", *corpus.command(source, disk / "run")],
        cwd=ROOT,
        env=environment,
        check=False,
    ).returncode
    assert done == 0, (out / "second").read_text()[-3000:]
    first = (out / "first").read_text()
    assert (out / "code").read_text() == "2\n", first[-3000:]
    assert "error: " in first
    assert "disk is full" in first or "No space left on device" in first
    assert "Traceback" not in first
    assert hashes(str(out / "run")) == hashes(str(whole))
