"""After `make setup` nothing needs a network: the curate line works with loopback only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import corpus
from tests.jvm import require_jvm

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
ISOLATE = ["unshare", "--user", "--map-root-user", "--net"]
# The loopback of a new namespace is down, so SIOCSIFFLAGS of netdevice(7) starts it. Then a module
# or script runs with the arguments that follow.
WITHOUT_NETWORK = """
import fcntl, os, socket, struct, sys
with socket.socket() as probe:
    fcntl.ioctl(probe, 0x8914, struct.pack("16sH14s", b"lo", 0x1 | 0x40, b""))
assert [name for _, name in socket.if_nameindex()] == ["lo"]
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def without_network(*arguments: str) -> str:
    """What Python prints with these arguments where there is only loopback."""
    if subprocess.run([*ISOLATE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this host lets no one make a network namespace: unshare --user --net fails")
    result = subprocess.run(
        [*ISOLATE, sys.executable, "-c", WITHOUT_NETWORK, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_curate_line_works_with_loopback_alone(tmp_path):
    source = corpus.build(tmp_path / "source")
    printed = without_network(*corpus.command(source, tmp_path / "output")[1:])
    assert "pack_tokens" in printed


def test_spark_and_delta_work_in_a_jvm_with_loopback_alone():
    require_jvm()
    assert "write and read work" in without_network("scripts/fetch_jars.py")
