"""The cache of compiled kernels follows every source file, and the sources wherever they go."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from seedbed.kernels.native import source_hash

ROOT = Path(__file__).parents[3]
# Prints how often a kernel was (loaded, compiled). Without write access of the process, if asked.
PROGRAM = """
import os, sys
import numpy as np
if sys.argv[1] == "reader":
    os.access = lambda path, mode: mode != os.W_OK
from seedbed.kernels.near_dup import components
components.components(2, np.array([0]), np.array([1]))
components._root(np.arange(3, dtype=np.int32), 1)
kernels = components._components, components._root
print([(k.stats.cache_hits.total(), k.stats.cache_misses.total()) for k in kernels])
"""


def test_an_edited_kernel_in_a_subfolder_gets_a_cache_of_its_own(tmp_path):
    (tmp_path / "near_dup").mkdir()
    (tmp_path / "near_dup/shingles.py").write_text("SIZE = 1\n")
    before = source_hash(tmp_path)
    assert source_hash(tmp_path) == before
    (tmp_path / "near_dup/shingles.py").write_text("SIZE = 2\n")
    assert source_hash(tmp_path) != before


def run(folder: Path, role: str) -> str:
    """What PROGRAM prints with the package in `folder`."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", PROGRAM, role]
    return subprocess.check_output(command, env=environment, cwd=folder, text=True).strip()


def test_machine_code_is_found_after_a_move_and_used_where_nothing_can_be_written(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for package in ("conf", "seedbed"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, here / package, ignore=ignore)
    # `components` calls `_root` with other types.
    assert run(here, "writer") == "[(0, 1), (0, 2)]"
    here.rename(there)
    for path in there.rglob("*.py"):
        os.utime(path, (0, 0))
    assert run(there, "writer") == "[(1, 0), (1, 0)]"
    # What is not there is compiled, and not kept.
    for path in there.rglob("components._root-*"):
        path.unlink()
    assert run(there, "reader") == "[(1, 0), (0, 1)]"
    assert not list(there.rglob("components._root-*"))
    assert run(there, "writer") == "[(1, 0), (0, 1)]"
    assert list(there.rglob("components._root-*"))
