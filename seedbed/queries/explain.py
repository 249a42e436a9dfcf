"""Why: one file's whole story, from its path or hash to every verdict and to its tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conf.errors import SeedbedError
from seedbed.tables.reader import DeltaReader

# Contents that are told in full, and further ones that are named by their hash.
TOLD, NAMED = 5, 10
# Near-duplicate edges that are listed per content.
EDGES = 3


class Story(str):
    """A text that a notebook shows as it is, line by line."""

    def __repr__(self) -> str:
        return str(self)


def explain(db: DeltaReader, target: str) -> Story:
    """The story of the files that match `target`.

    target: a path or its end, or a SHA-256 or its first 8 or more digits.

    Raises SeedbedError where no file matches.
    """
    found = _find(db, target)
    contents, dropped = found["contents"], found["dropped"]
    blocks = [_story(db, sha) for sha in contents[:TOLD]]
    blocks += [
        f"{row['path']}  ({row['repo']} {row['revision']})\n"
        f"  dropped at ingest: {row['drop_reason']}"
        for row in dropped[:TOLD]
    ]
    if len(contents) > TOLD:
        others = ", ".join(sha[:12] for sha in contents[TOLD : TOLD + NAMED])
        blocks.append(f"... and {len(contents) - TOLD} more contents match {target!r}: {others}")
    return Story("\n\n".join(blocks))


def _find(db: DeltaReader, target: str) -> dict[str, Any]:
    """`contents`: the hashes of the contents that match; `dropped`: the rows without a content."""
    is_hash = len(target) >= 8 and all(c in "0123456789abcdef" for c in target)
    where = "(path = ? OR ends_with(path, '/' || ?) OR ends_with(?, '/' || path))"
    if is_hash:
        where = "starts_with(content_sha256, ?)"
    params = [target] if is_hash else [target, target, target]
    rows = db.sql(f"SELECT * FROM files WHERE {where} ORDER BY repo, revision, path", params)
    if not rows:
        raise SeedbedError(
            f"no file of this run matches {target!r}",
            "give a path as in table files, its end, or a SHA-256",
        )
    return {
        "contents": list(
            dict.fromkeys(r["content_sha256"] for r in rows if r["drop_reason"] is None)
        ),
        "dropped": [r for r in rows if r["drop_reason"] is not None],
    }


def _story(db: DeltaReader, sha: str) -> str:
    tellers: dict[str, Callable[[DeltaReader, str], list[str]]] = {
        "files": _tell_files,
        "clusters": _tell_cluster,
        "syntax": _tell_syntax,
        "labels": _tell_label,
        "scores": _tell_score,
        "contamination": _tell_overlap,
        "decisions": _tell_decision,
        "documents": _tell_document,
    }
    return "\n".join(line for table in tellers if table in db for line in tellers[table](db, sha))


def _tell_files(db: DeltaReader, sha: str) -> list[str]:
    places = db.sql(
        "SELECT * FROM files WHERE content_sha256 = ? AND drop_reason IS NULL ORDER BY doc_id",
        [sha],
    )
    first = places[0]
    known = f"{first['language']}, {first['bytes']:,} bytes"
    copies = [f"{p['repo']} {p['revision']} {p['path']}" for p in places[1:]]
    return [
        f"{first['path']}  ({first['repo']} {first['revision']})",
        f"  content      {sha}",
        f"  ingest       {known}, license {first['license'] or 'unknown'}",
        f"  exact copies {len(copies)}" + (": " + "; ".join(copies[:3]) if copies else ""),
    ]


def _tell_cluster(db: DeltaReader, sha: str) -> list[str]:
    row = db.first("SELECT * FROM clusters WHERE content_sha256 = ?", [sha])
    if row is None:
        return ["  near dups    not compared yet"]
    if row["cluster_size"] == 1:
        members = "SELECT count(*) AS n FROM clusters WHERE component_id = ?"
        linked = db.one(members, [row["component_id"]])["n"]
        if linked > 1:
            return [f"  near dups    none of {linked - 1} that are linked to it"]
        return ["  near dups    none"]
    survivor = "SELECT content_sha256 AS s FROM clusters WHERE cluster_id = ? AND survivor"
    keeper = db.one(survivor, [row["cluster_id"]])["s"]
    role = "is the survivor"
    if not row["survivor"]:
        path = db.one("SELECT min(path) AS p FROM files WHERE content_sha256 = ?", [keeper])["p"]
        role = f"Jaccard {row['jaccard']:.3f} to the survivor {keeper[:12]} {path}"
    lines = [f"  near dups    cluster {row['cluster_id'][:12]} of {row['cluster_size']}; {role}"]
    edges = db.sql(
        "SELECT CASE WHEN a = $sha THEN b ELSE a END AS other, jaccard, jaccard_estimate, band "
        "FROM near_edges WHERE a = $sha OR b = $sha ORDER BY jaccard DESC, other LIMIT $shown",
        {"sha": sha, "shown": EDGES},
    )
    for e in edges:
        estimate = f"estimated {e['jaccard_estimate']:.3f}, band {e['band']}"
        lines.append(
            f"               edge to {e['other'][:12]}: Jaccard {e['jaccard']:.3f} ({estimate})"
        )
    return lines


def _tell_syntax(db: DeltaReader, sha: str) -> list[str]:
    r = db.first("SELECT * FROM syntax WHERE content_sha256 = ?", [sha])
    if r is None:
        return ["  syntax       not parsed yet"]
    if r["status"] != "ok":
        return [f"  syntax       {r['status']} ({r['parser'] or 'no grammar'})"]
    share = f"{r['error_share']:.2%} of bytes in error" if r["has_error"] else "no errors"
    shape = f"{r['functions']} functions, {r['classes']} classes, {r['lines']:,} lines"
    return [f"  syntax       {r['parser']}: {share}; {shape}, {r['comment_share']:.0%} comments"]


def _tell_label(db: DeltaReader, sha: str) -> list[str]:
    rows = db.sql("SELECT * FROM labels WHERE content_sha256 = ? ORDER BY oracle", [sha])
    lines = []
    for r in rows:
        if r["score"] is None:
            # Tables of earlier versions lack the column.
            lines.append(f"  label        no rating by {r['oracle']}: {r.get('failure')}")
            continue
        zero = f" ({r['zero_reason']})" if r["zero_reason"] else ""
        lines.append(f"  label        {r['score']:g} of 10 by {r['oracle']}{zero}")
    return lines


def _tell_score(db: DeltaReader, sha: str) -> list[str]:
    rows = db.sql("SELECT * FROM scores WHERE content_sha256 = ? ORDER BY scorer", [sha])
    return [f"  score        {r['quality']:.3f} by {r['scorer']}" for r in rows]


def _tell_overlap(db: DeltaReader, sha: str) -> list[str]:
    hits = db.sql(
        "SELECT * FROM contamination WHERE content_sha256 = ? AND item IS NOT NULL "
        "ORDER BY benchmark",
        [sha],
    )
    told = "; ".join(f"{hit['benchmark']} {hit['item']}: {hit['ngram']!r}" for hit in hits)
    return [f"  overlap      {told or 'none found'}"]


def _tell_decision(db: DeltaReader, sha: str) -> list[str]:
    row = db.first("SELECT * FROM decisions WHERE content_sha256 = ?", [sha])
    if row is None:
        return ["  decision     not made yet"]
    if row["reason"]:
        return [f"  decision     dropped: {row['reason']} ({row['detail']})"]
    return ["  decision     kept"]


def _tell_document(db: DeltaReader, sha: str) -> list[str]:
    rows = db.sql(
        "SELECT document_id, split, epochs FROM documents "
        "WHERE list_contains([p.content_sha256 FOR p IN parts], ?)",
        [sha],
    )
    lines = []
    for row in rows:
        known = f"split {row['split']}, {row['epochs']} epoch(s)"
        lines.append(f"  document     {row['document_id'][:16]}, {known}")
        if "token_index" not in db:
            continue
        spots = db.sql(
            "SELECT * FROM token_index WHERE document_id = ? ORDER BY epoch", [row["document_id"]]
        )
        for s in spots:
            place = f"document {s['document_number']:,}, epoch {s['epoch']}"
            lines.append(
                f"  tokens       {s['tokens']:,} in {s['shard_file']} at offset {s['offset']:,} "
                f"({place})"
            )
    return lines
