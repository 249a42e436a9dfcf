"""A small real corpus for tests of the pipeline: files of the standard library and a wheel."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
import zipfile
from pathlib import Path

STDLIB = Path(sysconfig.get_path("stdlib"))


def build(root: Path) -> Path:
    """About 60 files: the folders `alpha` and `beta`, and a wheel.

    alpha holds files of the standard library, beta copies and near copies of some of them.
    """
    alpha, beta = root / "alpha", root / "beta"
    alpha.mkdir(parents=True)
    beta.mkdir()
    names = [p for p in sorted(STDLIB.glob("*.py")) if 2_000 < p.stat().st_size < 20_000][:40]
    for path in names:
        (alpha / path.name).write_bytes(path.read_bytes())
    # One near duplicate and one exact duplicate per file.
    for path in names[:8]:
        (beta / f"near_{path.name}").write_bytes(path.read_bytes() + b"\n# changed at the end\n")
        (beta / f"same_{path.name}").write_bytes(path.read_bytes())
    (beta / "broken.py").write_bytes(b"def f(:\n  return [\n" * 40)
    (beta / "latin.py").write_bytes("name = 'é'\n".encode("latin-1") * 9)
    (beta / "empty.py").write_bytes(b"")
    packages = [*sorted((STDLIB / "json").glob("*.py")), *sorted((STDLIB / "email").glob("*.py"))][
        :12
    ]
    with zipfile.ZipFile(root / "gamma-1.0-py3-none-any.whl", "w") as wheel:
        for path in packages:
            wheel.write(path, f"gamma/{path.name}")
        wheel.writestr(
            "gamma-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: gamma\nVersion: 1.0\nLicense: MIT\n",
        )
    return root


def settings(source: Path, output: Path) -> list[str]:
    """The settings of a whole run from `source` into `output`."""
    return [
        "shards=2",
        "tokens.vocab_size=600",
        f"input={source}",
        f"output={output}",
        "spark.master=local[2]",
    ]


def command(source: Path, output: Path) -> list[str]:
    """The command that runs all jobs from `source` into `output`."""
    return [sys.executable, "-m", "spark_jobs", "run", *settings(source, output)]


def tokens_hash(output: Path) -> str:
    """One hash of the token shards and the tokenizer of a run."""
    files = sorted(
        p
        for p in (output / "tokens").rglob("*")
        if p.suffix in (".bin", ".idx") or p.name == "tokenizer.json"
    )
    return hashlib.sha256(b"".join(p.name.encode() + p.read_bytes() for p in files)).hexdigest()
