"""After `make setup` nothing needs a network: Spark and Delta work with loopback only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]

# The loopback of a new namespace is down, so SIOCSIFFLAGS of netdevice(7) starts it. Then the last
# script of `make setup` runs.
WITHOUT_NETWORK = """
import fcntl, runpy, socket, struct, sys
with socket.socket() as probe:
    fcntl.ioctl(probe, 0x8914, struct.pack("16sH14s", b"lo", 0x1 | 0x40, b""))
assert [name for _, name in socket.if_nameindex()] == ["lo"]
sys.argv = ["fetch_jars.py"]
runpy.run_path("scripts/fetch_jars.py", run_name="__main__")
"""


def test_spark_and_delta_work_in_a_network_namespace_with_loopback_alone():
    isolate = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*isolate, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this host lets no one make a network namespace: unshare --user --net fails")
    result = subprocess.run(
        [*isolate, sys.executable, "-c", WITHOUT_NETWORK],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "write and read work" in result.stdout
