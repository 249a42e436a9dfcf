"""`make dist`: the project as a wheel, and a whole Python for executors that have none of it.

    python -m scripts.make_dist [FOLDER]

FOLDER (dist by default) gets `seedbed-VERSION-py3-none-any.whl`, `environment.tar.gz`, and
`requirements.txt` for images that have a Python already.

The archive holds this machine's Python, the packages of the extra `spark` as `requirements.lock`
pins them, and the wheel. It finds its own files wherever it is unpacked. A node needs the same
processor family and a C library at least as new as here, and neither Python nor network access.
PySpark is left out, as Spark brings its own to every executor. Two builds from one commit on one
machine have equal bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from email.parser import HeaderParser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conf.errors import SeedbedError, run_cli
from scripts.pack_python import compile_kernels, copy_interpreter, precompile, write_archive

ROOT = Path(__file__).parents[1]
PACKAGES = ("conf", "seedbed", "spark_jobs", "megatron_train", "rl", "report", "demo")
# Spark puts the PySpark of its own version on the path of each executor and driver. Sail is an
# engine of its own.
NOT_PACKED = {"pyspark", "py4j", "pysail"}
# Times in a wheel cannot lie before 1980.
ENVIRONMENT = os.environ | {"SOURCE_DATE_EPOCH": "315532800"}
# What a packed Python must import, and from its own folder, on a machine without this project.
PROBE = """
import sys, conf, seedbed, numba, pyarrow, pandas, duckdb, deltalake, tokenizers, datasketch
import tree_sitter_language_pack, hashlib, ctypes, ssl, sqlite3, lzma, bz2, zlib
folder = sys.argv[1]
wrong = [sys.prefix] * (sys.prefix != folder)
wrong += [m.__file__ for m in (conf, seedbed, numba, pyarrow) if not m.__file__.startswith(folder)]
sys.exit(f"found outside of {folder}: {wrong}" if wrong else 0)
"""


def main(argv: list[str]) -> int:
    """Exit status 0. Raises SeedbedError where the packed Python does not run elsewhere."""
    folder = Path(argv[0] if argv else ROOT / "dist").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build_wheel(folder, Path(scratch) / "source")
        packages = spark_packages(wheel)
        (folder / "requirements.txt").write_text(locked(packages))
        environment = Path(scratch) / "built" / "environment"
        target = copy_interpreter(environment)
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(locked(packages - NOT_PACKED))
        install(target, requirements, wheel)
        precompile(environment)
        compile_kernels(environment)
        # Where it was built must not matter, so it is tried and packed in another place.
        moved = Path(scratch) / "moved" / "environment"
        moved.parent.mkdir()
        environment.rename(moved)
        probe(moved)
        archive = folder / "environment.tar.gz"
        size = write_archive(moved, archive)
    for path in (wheel, archive):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        print(f"{path}  {path.stat().st_size / 1e6:,.1f} MB  sha256 {digest}")
    print(f"unpacked on a node: {size / 1e6:,.0f} MB\n\n{submit_lines(archive)}")
    return 0


def build_wheel(folder: Path, source: Path) -> Path:
    """The wheel of this checkout in `folder`.

    It is built from a copy, since a build leaves files behind that the next one would take in.
    """
    for name in PACKAGES:
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for old in folder.glob("seedbed-*.whl"):
        old.unlink()
    _call(
        "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, source
    )
    return next(folder.glob("seedbed-*.whl"))


def install(packages: Path, requirements: Path, wheel: Path) -> None:
    """Put `requirements` and the wheel into the folder `packages`."""
    uv = ("-m", "uv", "pip", "install", "--quiet", "--no-deps", "--link-mode", "copy")
    _call(*uv, "--target", packages, "--require-hashes", "-r", requirements)
    _call(*uv, "--target", packages, wheel)
    # Console scripts name the Python that installed them, and these records its folders.
    unwanted = [packages / "bin"]
    for record in ("direct_url.json", "uv_cache.json", "uv_build.json"):
        unwanted += packages.glob(f"*.dist-info/{record}")
    # Tests, stubs and headers are a third of all files, and a node has to write each.
    for pattern in ("tests", "include", "*.pyi"):
        unwanted += packages.rglob(pattern)
    for path in unwanted:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def spark_packages(wheel: Path) -> set[str]:
    """The packages of the wheel's extra `spark`, and all that they need."""
    with zipfile.ZipFile(wheel) as packed:
        [name] = [one for one in packed.namelist() if one.endswith(".dist-info/METADATA")]
        ours = HeaderParser().parsestr(packed.read(name).decode()).get_all("Requires-Dist", [])
    found: set[tuple[str, str]] = set()
    waiting = [pair for extra in ("", "spark") for pair in _needs(ours, extra)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) not in found:
            found.add((name, extra))
            waiting += _needs(_installed(name), extra)
    return {name for name, _ in found}


def _installed(name: str) -> list[str]:
    """What an installed package requires. Raises SeedbedError where it is not installed."""
    try:
        return distribution(name).requires or []
    except PackageNotFoundError as error:
        raise SeedbedError(
            f"{name}, which the extra `spark` needs, is not installed here", "run make setup"
        ) from error


def _needs(requirements: list[str], extra: str) -> list[tuple[str, str]]:
    """(package, extra of it) of the `Requires-Dist` lines that hold here under `extra`."""
    found = []
    for text in requirements:
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({"extra": extra}):
            found += [(canonicalize_name(needed.name), one) for one in ("", *needed.extras)]
    return found


def locked(names: set[str]) -> str:
    """The entries of requirements.lock for `names`, hashes included.

    Raises SeedbedError where the lock lacks one.
    """
    entries: dict[str, str] = {}
    name = ""
    for line in (ROOT / "requirements.lock").read_text().splitlines(keepends=True):
        if "==" in line and not line.startswith((" ", "#")):
            name = canonicalize_name(line.split("==")[0])
        entries[name] = entries.get(name, "") + line
    if missing := sorted(names - entries.keys()):
        raise SeedbedError(
            f"requirements.lock does not pin {', '.join(missing)}",
            "add them to the lock (CONTRIBUTING.md), or install what the lock has: make setup",
        )
    return "".join(entries[name] for name in sorted(names))


def probe(environment: Path) -> None:
    """Raise SeedbedError where the packed Python fails without this machine's settings."""
    run = subprocess.run(
        [environment / "bin/python", "-c", PROBE, environment],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SeedbedError(
            f"the packed Python does not run elsewhere: {run.stderr.strip()[-500:]}",
            "build with another Python 3.12, such as that of uv, pyenv or Debian",
        )


def submit_lines(archive: Path) -> str:
    """The command that runs the whole line on YARN with the archive."""
    python = "./environment/bin/python"
    return "\n".join(
        [
            "# the whole line; the driver runs in the cluster too",
            f"PYSPARK_PYTHON={python} spark-submit --master yarn --deploy-mode cluster \\",
            "    --properties-file conf/curate/spark.properties \\",
            f"    --archives {os.path.relpath(archive)}#environment \\",
            "    --files conf/curate/cluster.yaml \\",
            "    spark_jobs/__main__.py run --config cluster.yaml input=URI output=URI",
            "# --deploy-mode client: the same, with PYSPARK_DRIVER_PYTHON=.venv/bin/python and",
            "# --config conf/curate/cluster.yaml (docs/cluster.md)",
        ]
    )


def _call(*arguments: str | Path) -> None:
    run = subprocess.run(
        [sys.executable, *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise SeedbedError(
            f"{' '.join(map(str, arguments[:4]))} failed: {run.stderr.strip()[-500:]}",
            "run make setup; the packages of the lock must be in uv's cache or be reachable",
        )


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
