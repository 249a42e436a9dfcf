"""Which interpreter judges programs, and which installed packages it brings into a jail."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache

from conf.errors import SeedbedError
from conf.schema.interpreter import InterpreterConfig

# Versions of CPython that run the files of inside/.
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
# Imports each package of argv, and prints what that brought from outside the standard library:
# the paths of packages and modules with the shared libraries beside them, and the extensions.
_LOOK = """
import importlib, json, os, sys, sysconfig
before, missing = set(sys.modules), []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        missing.append(f"{name} ({error})")
library = os.path.dirname(os.path.realpath(os.__file__))
paths, names = {}, set()
for name in {word.split(".")[0] for word in set(sys.modules) - before}:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    origin = getattr(spec, "origin", None)
    if spec is None or origin in (None, "built-in", "frozen"):
        continue
    origin = os.path.realpath(origin)
    place = os.path.dirname(origin) if spec.submodule_search_locations else origin
    if place.startswith(library + os.sep) and "-packages" not in place:
        continue
    paths[place] = None
    libraries = os.path.join(os.path.dirname(place), name + ".libs")
    if os.path.isdir(libraries):
        paths[libraries] = None
    for folder, folders, files in os.walk(place):
        folders[:] = [word for word in folders if word not in ("tests", "testing", "__pycache__")]
        for file in files:
            if file.endswith(".so"):
                below = os.path.join(folder, file.split(".")[0])[len(os.path.dirname(place)) + 1 :]
                names.add(below.replace(os.sep, "."))
versions = {name: str(getattr(sys.modules.get(name), "__version__", "")) for name in sys.argv[1:]}
print(json.dumps({"version": sys.version.split()[0], "versions": versions, "missing": missing,
                  "paths": list(paths), "extensions": sorted(names)}))
"""


@dataclass(frozen=True)
class Interpreter:
    """The Python that judges programs.

    python: path of a CPython; empty for the one that runs here.
    packages: import names of installed packages that programs and tests may use. Each comes with
        what it imports. A jail sees them read-only.
    """

    python: str = ""
    packages: tuple[str, ...] = ()

    @classmethod
    def of(cls, cfg: InterpreterConfig) -> Interpreter:
        """The interpreter of a run's settings."""
        return cls(cfg.python, tuple(cfg.packages))

    @property
    def path(self) -> str:
        return self.python or sys.executable

    def describe(self) -> Description:
        """Its version and packages. Raises SeedbedError where it cannot serve."""
        return _describe(self.path, self.packages)


@dataclass(frozen=True)
class Description:
    """What an interpreter offers.

    packages: pairs of a package's name and its version, empty where it tells none.
    paths: folders and files of the packages. extensions: their modules that are C extensions, which
        must be loaded before a jail is locked.
    """

    version: str
    packages: tuple[tuple[str, str], ...]
    paths: tuple[str, ...]
    extensions: tuple[str, ...]


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of a command that judges; `of_flags` reads them."""
    parser.add_argument(
        "--python",
        default="",
        metavar="PATH",
        help="the CPython that judges (default: the one that runs this command)",
    )
    parser.add_argument(
        "--packages",
        default="",
        metavar="NAME,NAME",
        help="installed packages that programs may import, such as numpy,sympy",
    )


def of_flags(arguments: argparse.Namespace) -> Interpreter:
    packages = tuple(word.strip() for word in arguments.packages.split(",") if word.strip())
    return Interpreter(arguments.python, packages)


@cache
def _describe(path: str, packages: tuple[str, ...]) -> Description:
    try:
        ran = subprocess.run(
            [path, "-I", "-c", _LOOK, *packages], capture_output=True, text=True, timeout=120
        )
        found = json.loads(ran.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise SeedbedError(
            f"sandbox.python = {path!r} does not run as a Python interpreter ({error}).",
            f"Give the path of a CPython {VERSIONS[0]} to {VERSIONS[-1]}.",
        ) from error
    if found["version"].rsplit(".", 1)[0] not in VERSIONS:
        raise SeedbedError(
            f"sandbox.python = {path!r} is Python {found['version']}.",
            f"Give the path of a CPython {VERSIONS[0]} to {VERSIONS[-1]}.",
        )
    if found["missing"]:
        raise SeedbedError(
            f"sandbox.packages are not installed in {path}: {', '.join(found['missing'])}.",
            f"Install them: {path} -m pip install ..., or take them off the list.",
        )
    named = tuple((name, found["versions"][name]) for name in sorted(packages))
    return Description(found["version"], named, tuple(found["paths"]), tuple(found["extensions"]))
