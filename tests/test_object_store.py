"""A whole run from and to an object store gives the rows and shards of one on a local disk."""

from __future__ import annotations

import os
import subprocess

import pytest

from seedbed import storage
from seedbed.queries.certify import hashes
from tests import corpus

pytestmark = pytest.mark.slow


def test_the_whole_line_on_s3_gives_what_it_gives_on_a_disk(s3, curated):
    (source, local), bucket = curated, s3.root.rpartition("/")[0]
    for path in sorted(source.rglob("*")):
        if path.is_file():
            storage.files_of(f"{bucket}/in").write(str(path.relative_to(source)), path.read_bytes())
    command = corpus.command(f"{bucket}/in", f"{bucket}/run")
    subprocess.run(command, check=True)
    assert hashes(f"{bucket}/run") == hashes(str(local))
    shards = [name for name in os.listdir(local / "tokens") if name.endswith((".bin", ".idx"))]
    assert shards
    for name in shards:
        assert (
            storage.files_of(f"{bucket}/run").read(f"tokens/{name}")
            == (local / "tokens" / name).read_bytes()
        )
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "0 of 14 jobs had something to do" in again.stdout
