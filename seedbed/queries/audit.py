"""Can the near duplicates of a run be trusted? Exact Jaccard similarity on samples tells.

There is no Spark here, no LSH and no signature.

    python -m spark_jobs audit output=DIR [sample=1000] [pool=20000]

Precision: `sample` of the dropped contents are drawn, stratified by size of the cluster, similarity
to the survivor and language. Each is compared with the content that was kept for it (`dropped`),
and with another member of its cluster (`same cluster`). The comparison uses plain Python sets of
token tuples. Of the kernels it takes nothing but where a license head ends.

Recall: the pool is the `pool` contents with the smallest salted hashes, or all there are. `sample`
of them are drawn, stratified by size of the cluster and language, and compared with the whole pool.
A drawn content that has a near duplicate in the pool is a unit. It counts twice: by the share of
its near duplicates of which at most one of the two survives (`resolved`), and by the share that
lies in its own cluster (`together`). The second is lower, as contents that only chain lie apart on
purpose.

Strata are drawn in proportion, each with LEAST units at least; every figure weighs a unit by the
inverse of its chance. For the interval see seedbed/queries/intervals.py. Samples are drawn by hash,
so the same tables give the same audit. The result is kept in DIR/curate/audit.json.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from conf.errors import SeedbedError
from seedbed import storage
from seedbed.kernels.near_dup.jaccard import similar_pairs
from seedbed.kernels.near_dup.license_head import license_end
from seedbed.kernels.near_dup.shingles import distinct, shingle_hashes
from seedbed.queries.intervals import share
from seedbed.tables.reader import DeltaReader

RESULT = "curate/audit.json"
TOKEN = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")
# The most frequent languages are strata of their own; the others are one together.
LANGUAGES = 5
# So many are sampled of a stratum, however small its part of the whole.
LEAST = 5
_CLASSED = """
WITH common AS (SELECT language FROM contents GROUP BY language
                ORDER BY count(*) DESC, language LIMIT $languages)
SELECT c.content_sha256 AS sha, c.cluster_id, c.survivor, c.jaccard, x.language,
       CASE WHEN c.cluster_size <= 2 THEN c.cluster_size::VARCHAR
            WHEN c.cluster_size <= 5 THEN '3-5' ELSE '6+' END AS size,
       CASE WHEN c.jaccard < 0.8 THEN 'under 0.8'
            WHEN c.jaccard < 0.9 THEN '0.8-0.9' ELSE '0.9-1' END AS similarity,
       CASE WHEN x.language IN (FROM common) THEN x.language ELSE 'other' END AS tongue,
       md5($salt || c.content_sha256) AS lot
FROM clusters c JOIN contents x USING (content_sha256)
"""
_DRAWN = """
SELECT *, strata::DOUBLE / least(strata, wanted) AS weight FROM (
    SELECT *, greatest($least, ceil($sample * strata / everyone))::BIGINT AS wanted FROM (
        SELECT *, row_number() OVER (PARTITION BY {strata} ORDER BY lot) AS place,
               count(*) OVER (PARTITION BY {strata}) AS strata, count(*) OVER () AS everyone
        FROM ({rows})))
WHERE place <= wanted ORDER BY lot
"""


def audit(output: str, sample: int, pool: int) -> str:
    """Run the audit, keep its result, and return it as text."""
    db = DeltaReader(output, ("contents", "clusters"))
    for table in ("contents", "clusters"):
        if table not in db:
            raise SeedbedError(
                f"the audit needs table {table}, which is not there",
                "python -m spark_jobs run ... until=clusters",
            )
    params = db.lineage("clusters").get("params", {})
    if "threshold" not in params or "shingle" not in params:
        raise SeedbedError(
            "the newest commit of clusters does not say with which threshold it was made",
            "run cluster_near_dups again",
        )
    result = {
        "clusters_version": db.version("clusters"),
        "threshold": params["threshold"],
        "precision": precision(db, sample, params),
        "recall": recall(db, sample, pool, params),
    }
    storage.write_text(output, RESULT, json.dumps(result, indent=1, sort_keys=True) + "\n")
    return text_of(result)


def precision(db: DeltaReader, sample: int, params: dict[str, Any]) -> dict[str, Any]:
    """`dropped` and `same cluster`, in all and by stratum, each a Share as a dict or None."""
    drawn = _draw(
        db, f"{_CLASSED} WHERE NOT c.survivor", "size, similarity, tongue", sample, "precision"
    )
    members: dict[str, list[str]] = {}
    kept: dict[str, str] = {}
    query = (
        "SELECT cluster_id, content_sha256 AS sha, survivor FROM clusters "
        "WHERE cluster_id IN (SELECT unnest(?))"
    )
    for row in db.sql(query, [sorted({row["cluster_id"] for row in drawn})]):
        members.setdefault(row["cluster_id"], []).append(row["sha"])
        if row["survivor"]:
            kept[row["cluster_id"]] = row["sha"]
    others = {row["sha"]: _another(members[row["cluster_id"]], row["sha"]) for row in drawn}
    wanted = (
        {row["sha"] for row in drawn}
        | {kept[row["cluster_id"]] for row in drawn}
        | set(others.values())
    )
    sets = {sha: _plain_set(text, params["shingle"]) for sha, text in _texts(db, sorted(wanted))}
    for row in drawn:
        pairs = {"dropped": kept[row["cluster_id"]], "same cluster": others[row["sha"]]}
        for kind, other in pairs.items():
            row[kind] = float(_similarity(sets[row["sha"]], sets[other]) >= params["threshold"])
    return {
        kind: {
            "all": _share(drawn, kind),
            **{
                f"{by} {value}": _share([r for r in drawn if r[by] == value], kind)
                for by in ("size", "similarity", "tongue")
                for value in sorted({r[by] for r in drawn})
            },
        }
        for kind in ("dropped", "same cluster")
    }


def recall(db: DeltaReader, sample: int, pool: int, params: dict[str, Any]) -> dict[str, Any]:
    """`resolved` and `together`, each a Share as a dict or None, and how much was compared."""
    in_pool = f"SELECT * FROM ({_CLASSED}) ORDER BY lot LIMIT {int(pool)}"
    everyone = db.sql(in_pool, {"languages": LANGUAGES, "salt": "pool"})
    drawn = _draw(db, in_pool, "size, tongue", sample, "pool")
    place = {row["sha"]: i for i, row in enumerate(everyone)}
    texts = dict(_texts(db, sorted(place)))
    column = pa.array([texts[row["sha"]] for row in everyone], pa.large_string())
    sets = distinct(shingle_hashes(column, params["shingle"]))
    asked = np.array([place[row["sha"]] for row in drawn], np.int64)
    query, other, _ = similar_pairs(sets, asked, params["threshold"])
    units = []
    for i, row in enumerate(drawn):
        partners = [everyone[j] for j in other[query == i]]
        if partners:
            resolved = [not (row["survivor"] and p["survivor"]) for p in partners]
            together = [row["cluster_id"] == p["cluster_id"] for p in partners]
            units.append(
                {**row, "resolved": float(np.mean(resolved)), "together": float(np.mean(together))}
            )
    return {
        "resolved": _share(units, "resolved"),
        "together": _share(units, "together"),
        "pool": len(everyone),
        "drawn": len(drawn),
        "near_duplicate_pairs": len(query),
    }


def text_of(result: dict[str, Any]) -> str:
    """The result as lines: share, 95 % interval, units."""
    version = result["clusters_version"]
    lines = [f"near duplicates at Jaccard >= {result['threshold']:g}, clusters@{version}", ""]
    for kind, what in (
        (
            "dropped",
            "precision: dropped contents that are near duplicates of the content kept for them",
        ),
        ("same cluster", "two members of one cluster that are near duplicates of each other"),
    ):
        lines.append(what)
        lines += [
            f"  {name:<22}{_line(found)}" for name, found in result["precision"][kind].items()
        ]
    found = result["recall"]
    lines.append(
        f"recall: {found['drawn']:,} contents against {found['pool']:,}, "
        f"{found['near_duplicate_pairs']:,} near duplicates met"
    )
    lines.append(f"  {'resolved':<22}{_line(found['resolved'])}")
    lines.append(f"  {'in one cluster':<22}{_line(found['together'])}")
    lines.append("share  [95 % interval: Wilson's at Kish's effective sample size]  sampled units")
    return "\n".join(lines)


def _line(found: dict[str, Any] | None) -> str:
    if found is None:
        return "nothing to sample"
    return f"{found['value']:.4f}  [{found['low']:.4f}, {found['high']:.4f}]  n={found['n']:,}"


def _draw(db: DeltaReader, rows: str, strata: str, sample: int, salt: str) -> list[dict[str, Any]]:
    """About `sample` rows with their `weight`.

    A stratum gives its part of them, and LEAST if it holds as many.
    """
    given = {"languages": LANGUAGES, "salt": salt, "least": LEAST, "sample": sample}
    return db.sql(_DRAWN.format(strata=strata, rows=rows), given)


def _another(members: list[str], sha: str) -> str:
    """A member that is not `sha`, drawn by hash."""
    return min(
        (m for m in members if m != sha), key=lambda m: hashlib.md5((sha + m).encode()).digest()
    )


def _texts(db: DeltaReader, shas: list[str]) -> list[tuple[str, str]]:
    rows = db.sql(
        "SELECT content_sha256 AS sha, text FROM contents "
        "WHERE content_sha256 IN (SELECT unnest(?))",
        [shas],
    )
    return [(row["sha"], row["text"]) for row in rows]


def _plain_set(text: str, size: int) -> set[tuple[bytes, ...]]:
    """The shingles of a text as tuples of tokens (definition: kernels/near_dup/shingles.py)."""
    data = text.encode()
    head = license_end(np.frombuffer(data, np.uint8), 0, len(data))
    tokens = TOKEN.findall(data[head:]) or TOKEN.findall(data)
    return {
        tuple(tokens[i : i + size]) for i in range(max(len(tokens) - size + 1, min(len(tokens), 1)))
    }


def _similarity(a: set[Any], b: set[Any]) -> float:
    return len(a & b) / max(len(a | b), 1)


def _share(rows: list[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    found = share([row[kind] for row in rows], [row["weight"] for row in rows])
    return asdict(found) if found else None
