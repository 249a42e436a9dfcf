"""What `make dist` packs. tests/test_spark_yarn.py runs the whole of it."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from scripts.make_dist import NOT_PACKED, locked, spark_packages
from scripts.pack_python import write_archive


def a_wheel(folder: Path, *requirements: str) -> Path:
    path = folder / "seedbed-0-py3-none-any.whl"
    lines = [f"Requires-Dist: {text}" for text in requirements]
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("seedbed-0.dist-info/METADATA", "\n".join(["Name: seedbed", *lines, ""]))
    return path


def test_packages_are_those_of_the_extra_and_what_they_need(tmp_path):
    spark = 'extra == "spark"'
    wheel = a_wheel(
        tmp_path, "omegaconf>=2.3", f"datasketch>=2; {spark}", 'torch==2.13.0; extra == "train"'
    )
    found = spark_packages(wheel)
    assert {"omegaconf", "pyyaml", "datasketch", "numpy", "scipy"} <= found
    assert not found & {"torch", "seedbed"}


def test_the_lock_pins_what_is_packed_with_hashes():
    names = {"numpy", "tree-sitter-language-pack", *NOT_PACKED}
    text = locked(names)
    assert text.count("==") == len(names)
    assert text.count("--hash=sha256:") >= len(names)


def test_a_package_that_the_lock_lacks_is_named():
    with pytest.raises(SeedbedError, match="does not pin no-such-package"):
        locked({"numpy", "no-such-package"})


def test_an_archive_depends_on_the_files_alone(tmp_path):
    written = []
    for number, name in enumerate(("one", "two")):
        folder = tmp_path / name
        (folder / "bin").mkdir(parents=True)
        program = folder / "bin/python"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o700 if number else 0o755)
        (folder / "bin/python3").symlink_to("python")
        (folder / "data").write_bytes(b"x" * 1000)
        os.utime(folder / "data", (number, number))
        assert write_archive(folder, tmp_path / f"{name}.tar.gz") == 1010
        written.append((tmp_path / f"{name}.tar.gz").read_bytes())
    assert written[0] == written[1]
    with tarfile.open(tmp_path / "one.tar.gz") as packed:
        assert packed.getnames() == ["bin", "bin/python", "bin/python3", "data"]
        assert packed.getmember("bin/python").mode == 0o755
        assert packed.getmember("bin/python3").linkname == "python"
