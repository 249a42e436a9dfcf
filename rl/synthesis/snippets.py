"""The seeds: one piece of each chosen document, and the styles that its problem is told in.

All draws come from (seed, document), so the same tables give the same seeds on any machine, and a
larger draw holds the smaller.
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
from seedbed.tables.writer import open_table

READS = ("documents", "contents")


@dataclass(frozen=True)
class Snippet:
    """Lines first_line to last_line (from 1, both inside) of a content, and two styles.

    task_id is made from all that.
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
    """The versions of the tables read, as they are now.

    Raises SeedbedError where one is missing.
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
    """At most cfg.snippets of them: of training documents of one file, in the wanted languages and
    of enough quality, in the order of a hash of (seed, document). Raises SeedbedError where there
    is no such document.
    """
    chosen = _documents(cfg, tables, versions)
    texts = _texts(tables, versions, [row["content_sha256"] for row in chosen])
    found = []
    for row in chosen:
        rng = Random(f"{cfg.seed}:{row['document_id']}")
        lines = texts[row["content_sha256"]].split("\n")
        full = [
            number
            for number, line in enumerate(lines, 1)
            if line.strip()
            # a snippet starts and ends in one of these
        ]
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
    # a null is no quality
    if cfg.min_quality > 0:
        where &= ds.field("quality") >= cfg.min_quality
    columns = ["document_id", "language", "parts"]
    rows = table.to_pyarrow_dataset().to_table(columns=columns, filter=where).to_pylist()  # type: ignore[union-attr]
    rows = [row for row in rows if len(row["parts"]) == 1]
    if not rows:
        raise SeedbedError(
            f"{tables / 'documents'} holds no training document of one file in {cfg.languages} with a quality of "
            f"{cfg.min_quality:g} or more",
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
