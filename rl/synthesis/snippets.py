"""The seeds of problems: one piece of each chosen document, and the styles of the problem's text.

All draws come from (seed, document). The same tables therefore give the same snippets on any
machine, and a larger draw contains the smaller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow.dataset as ds

from conf.errors import SeedbedError
from conf.schema.ask import SynthesisConfig
from seedbed.tables.opening import open_table

READS = ("documents", "contents")


@dataclass(frozen=True)
class Snippet:
    """Lines first_line to last_line of a content (from 1, both included), and two styles.

    task_id is a hash of all that.
    """

    task_id: str
    document_id: str
    content_sha256: str
    language: str
    first_line: int
    last_line: int
    text: str
    styles: tuple[str, str]


def pinned(tables: Path) -> dict[str, int]:
    """The present versions of the tables that are read.

    Raises:
        SeedbedError: where a table is missing.
    """
    versions = {}
    for name in READS:
        table = open_table(tables / name)
        if table is None:
            raise SeedbedError(
                f"there is no table {tables / name}", "give output=DIR of a curated run"
            )
        versions[name] = table.version()
    return versions


def draw(
    cfg: SynthesisConfig, tables: Path, versions: dict[str, int], styles: Sequence[str]
) -> list[Snippet]:
    """At most cfg.snippets snippets, in the order of a hash of (seed, document).

    They come from training documents of one file each, in the wanted languages and of at least
    cfg.min_quality.

    Raises:
        SeedbedError: where there is no such document.
    """
    chosen = _documents(cfg, tables, versions)
    texts = _texts(tables, versions, [row["content_sha256"] for row in chosen])
    found = []
    for row in chosen:
        rng = Random(f"{cfg.seed}:{row['document_id']}")
        lines = texts[row["content_sha256"]].split("\n")
        # A snippet starts and ends with a line that is not blank.
        full = [number for number, line in enumerate(lines, 1) if line.strip()]
        if not full:
            continue
        first = rng.choice(full)
        last = max(n for n in full if first <= n < first + rng.randint(1, cfg.max_lines))
        task_id = hashlib.sha256(
            f"{cfg.seed}:{row['document_id']}:{first}:{last}".encode()
        ).hexdigest()[:16]
        text = "\n".join(lines[first - 1 : last])
        pair = tuple(rng.sample(styles, 2))
        found.append(
            Snippet(
                f"synthetic/{task_id}",
                **row,
                first_line=first,
                last_line=last,
                text=text,
                styles=pair,
            )
        )
    return found


def _documents(
    cfg: SynthesisConfig, tables: Path, versions: dict[str, int]
) -> list[dict[str, str]]:
    table = open_table(tables / "documents", versions["documents"])
    where = (ds.field("split") == "train") & ds.field("language").isin(cfg.languages)
    # A document without a score has quality null and passes only where no score is asked for.
    if cfg.min_quality > 0:
        where &= ds.field("quality") >= cfg.min_quality
    columns = ["document_id", "language", "parts"]
    rows = table.to_pyarrow_dataset().to_table(columns=columns, filter=where).to_pylist()  # type: ignore[union-attr]
    rows = [row for row in rows if len(row["parts"]) == 1]
    if not rows:
        raise SeedbedError(
            f"{tables / 'documents'} holds no training document of one file in {cfg.languages} "
            f"with a quality of {cfg.min_quality:g} or more",
            "lower min_quality, or give other languages",
        )
    rows.sort(key=lambda row: hashlib.sha256(f"{cfg.seed}:{row['document_id']}".encode()).digest())
    return [
        {
            "document_id": row["document_id"],
            "content_sha256": row["parts"][0]["content_sha256"],
            "language": row["language"],
        }
        for row in rows[: cfg.snippets]
    ]


def _texts(tables: Path, versions: dict[str, int], wanted: Sequence[str]) -> dict[str, str]:
    table = open_table(tables / "contents", versions["contents"])
    rows = table.to_pyarrow_dataset().to_table(  # type: ignore[union-attr]
        columns=["content_sha256", "text"], filter=ds.field("content_sha256").isin(list(wanted))
    )
    return {row["content_sha256"]: row["text"] for row in rows.to_pylist()}
