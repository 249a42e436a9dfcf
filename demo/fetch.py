"""Downloads pinned wheels with pip, and checks each against its SHA-256.

    python -m demo.fetch sources=conf/curate/demo_sources.txt folder=downloads/demo

Each wheel has its own call of pip, because pip refuses two versions of a package in one call.
Wheels that are there already are not downloaded again.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from conf.errors import SeedbedError, run_cli
from conf.flags import KEY_VALUE_HELP, parse_flags
from seedbed.files import write_whole

# Wheels are read as archives and never installed, so any of these tags will do. The hash says
# which wheel is meant.
TAGS = ["--python-version", "3.11", "--implementation", "cp", "--ignore-requires-python"]
TAGS += [word for abi in ("cp311", "abi3", "none") for word in ("--abi", abi)]
TAGS += [
    word
    for name in ("any", "manylinux2014_x86_64", "manylinux_2_28_x86_64")
    for word in ("--platform", name)
]
LINE = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Source:
    """A pinned wheel. requirement: name==version."""

    requirement: str
    sha256: str


def read_sources(path: Path) -> list[Source]:
    """The pinned wheels of a requirements file.

    Each line is `name==version --hash=sha256:HEX`, empty, or a comment. Raises SeedbedError with
    file:line for any other.
    """
    sources = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        match = LINE.fullmatch(text)
        if match is None:
            raise SeedbedError(
                f"{path}:{number}: {text!r} is not name==version --hash=sha256:HEX",
                "pin it as the other lines do",
            )
        sources.append(Source(f"{match['name']}=={match['version']}", match["sha256"]))
    return sources


def fetch(sources: list[Source], folder: Path) -> None:
    """Downloads every source that `folder` does not have yet.

    Raises SeedbedError for any other file there, because it would change the golden counts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    have = {_sha256(path): path for path in sorted(folder.iterdir())}
    wanted = {source.sha256 for source in sources}
    for digest, path in have.items():
        if digest not in wanted:
            raise SeedbedError(
                f"{path} is none of the pinned wheels (sha256 {digest[:12]}...)",
                f"remove it: rm {path}",
            )
    missing = [source for source in sources if source.sha256 not in have]
    for source in tqdm(missing, desc="fetch", unit=" wheels", disable=not missing):
        _download(source, folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{len(sources)} wheels, {size / 1e6:.0f} MB in {folder}")


def _download(source: Source, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        pinned = Path(scratch) / "requirement.txt"
        pinned.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n")
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
        ]
        command += TAGS
        command += ["--require-hashes", "-r", str(pinned), "-d", str(Path(scratch) / "got")]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            last = (result.stderr.strip().splitlines() or ["no output"])[-1]
            raise SeedbedError(
                f"pip could not download {source.requirement}: {last}",
                "check the network and pip's index settings",
            )
        for wheel in (Path(scratch) / "got").iterdir():
            write_whole(folder / wheel.name, wheel.read_bytes())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m demo.fetch",
        description=__doc__,
        epilog=KEY_VALUE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--sources", type=Path, required=True, metavar="FILE", help="pinned wheels with hashes"
    )
    parser.add_argument(
        "--folder", type=Path, required=True, metavar="DIR", help="where the wheels go"
    )
    args = parse_flags(parser, argv)
    fetch(read_sources(args.sources), args.folder)
    return 0


if __name__ == "__main__":
    run_cli(main)
