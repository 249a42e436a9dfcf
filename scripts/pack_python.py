"""Copies the running Python to another folder, from which it can be packed and unpacked elsewhere.

A Python finds its library by its own place, so a copy of both runs anywhere. Its shared libraries
are another matter: they are copied beside it, and a small script leads the loader to them.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

from conf.errors import SeedbedError

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
# Parts of the standard library that no job imports: 130 MB of tests, editors and static libraries.
NOT_NEEDED = (
    "site-packages",
    "dist-packages",
    "__pycache__",
    "_test*",
    "_tkinter*",
    "config-*",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "test",
    "tkinter",
    "turtledemo",
)
# These belong to the C library and the loader of each machine, and must not be mixed.
OF_THE_MACHINE = ("libc.", "libm.", "libdl.", "libpthread.", "libresolv.", "librt.", "ld-linux")
LAUNCHER = f"""#!/bin/sh
# Starts the Python beside this file with the libraries of ../lib.
here=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH="$here/../lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
export LD_LIBRARY_PATH
exec "$here/{VERSION}" "$@"
"""


def copy_interpreter(target: Path) -> Path:
    """Copy the base Python of the running one to `target`; returns its folder for packages.

    Raises SeedbedError where the copy looks for packages outside of `target`.
    """
    library = target / "lib" / VERSION
    shutil.copytree(
        sysconfig.get_path("stdlib"), library, ignore=shutil.ignore_patterns(*NOT_NEEDED)
    )
    (target / "bin").mkdir()
    program = target / "bin" / VERSION
    shutil.copy(os.path.realpath(sys.executable), program)
    launcher = target / "bin" / "python"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    (target / "bin/python3").symlink_to("python")
    for path in _shared_libraries([program, *library.glob("lib-dynload/*.so")]):
        shutil.copy(path, target / "lib" / path.name)
    # Debian's Python looks elsewhere than others, so the copy itself is asked.
    ask = "import site; print(site.getsitepackages()[0])"
    found = subprocess.run(
        [launcher, "-I", "-c", ask], capture_output=True, text=True, check=False, env={}
    )
    packages = Path(found.stdout.strip() or "/")
    if not packages.is_relative_to(target):
        raise SeedbedError(
            f"a copy of {sys.base_prefix} looks for packages in {packages}: {found.stderr[-300:]}",
            "build with another Python 3.12, such as that of uv, pyenv or Debian",
        )
    packages.mkdir(parents=True, exist_ok=True)
    return packages


def precompile(environment: Path) -> None:
    """Compile all sources, so that the first task on a node does not.

    The bytecode names neither the folder nor the time of the build.
    """
    command = [environment / "bin/python", "-I", "-m", "compileall", "-q", "-j", "0"]
    options = ["--invalidation-mode", "unchecked-hash", "-s", environment, "-p", "environment"]
    # Some packages ship files for other versions of Python, which do not compile.
    subprocess.run(
        [*command, *options, environment / "lib"], check=False, stdout=subprocess.DEVNULL
    )


def compile_kernels(environment: Path) -> None:
    """Compile the kernels of the jobs for this processor, so that the workers on a node do not.

    Equal sources give equal bytes: one process compiles all, with a fixed seed of its hashes.
    """
    code = "from seedbed.kernels import precompile\nfor part in precompile.PARTS:\n    part()"
    subprocess.run(
        [environment / "bin/python", "-c", code],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0"},
        check=True,
    )


def write_archive(folder: Path, archive: Path) -> int:
    """Pack what is in `folder` as a .tar.gz whose bytes depend on the files alone.

    Returns the bytes of the files.
    """
    size = 0
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        for path in sorted(folder.rglob("*")):
            entry = tar.gettarinfo(path, str(path.relative_to(folder)))
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            entry.mode = 0o755 if path.is_dir() or entry.mode & 0o100 else 0o644
            if entry.isreg():
                size += entry.size
                with path.open("rb") as content:
                    tar.addfile(entry, content)
            else:
                tar.addfile(entry)
    return size


def _shared_libraries(programs: list[Path]) -> list[Path]:
    """The shared libraries that `programs` load, less those of the machine, by name."""
    found = {}
    for program in programs:
        shown = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        for line in shown.stdout.splitlines():
            name, arrow, rest = line.strip().partition(" => ")
            if arrow and rest.startswith("/") and not name.startswith(OF_THE_MACHINE):
                found[name] = Path(rest.split()[0])
    return [found[name] for name in sorted(found)]
