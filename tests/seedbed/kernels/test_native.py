"""The cache of compiled kernels follows every source file."""

from __future__ import annotations

from seedbed.kernels.native import source_hash


def test_an_edited_kernel_in_a_subfolder_gets_a_cache_of_its_own(tmp_path):
    (tmp_path / "near_dup").mkdir()
    (tmp_path / "near_dup/shingles.py").write_text("SIZE = 1\n")
    before = source_hash(tmp_path)
    assert source_hash(tmp_path) == before
    (tmp_path / "near_dup/shingles.py").write_text("SIZE = 2\n")
    assert source_hash(tmp_path) != before
