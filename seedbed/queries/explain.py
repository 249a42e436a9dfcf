"""Questions to a finished or half-finished run: what is there (status), where did the rows go
(funnel), why (explain).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conf.errors import SeedbedError
from seedbed.tables.reader import DeltaReader

# In the order of the graph; kept here as names so that reading needs no pyspark (tests hold it
# equal to tables.TABLES).
TABLE_NAMES = (
    "files",
    "repos",
    "contents",
    "signatures",
    "near_misses",
    "near_edges",
    "clusters",
    "repo_overlaps",
    "repo_clusters",
    "syntax",
    "labels",
    "gold_scores",
    "scores",
    "recall",
    "contamination",
    "decisions",
    "documents",
    "token_index",
)
# What is written beside the graph: by verify_solutions, and by post-training
# (seedbed/tables/writer.py). Tests hold these equal too.
OTHER_TABLE_NAMES = (
    "solutions",
    "verdicts",
    "problems",
    "rollouts",
    "pairs",
    "synthetic",
    "demonstrations",
)
# First reason of select_documents, in the order it checks them.
REASONS = (
    "duplicate_near",
    "duplicate_repository",
    "syntax",
    "low_quality",
    "contaminated",
    "license",
    "language",
    "too_short",
)


@dataclass(frozen=True)
class FunnelStep:
    """`reason` took `dropped` rows; `kept` are left.

    Units are files down to `duplicate_exact`, contents after it.
    """

    reason: str
    dropped: int
    kept: int
    unit: str


def funnel(output: str) -> list[FunnelStep]:
    """Every file seen, step by step down to the documents.

    Raises SeedbedError where the steps do not add up.
    """
    db = DeltaReader(output, TABLE_NAMES)
    for table in ("files", "contents", "decisions", "documents"):
        if table not in db:
            raise SeedbedError(
                f"the funnel needs table {table}, which is not there yet",
                "python -m spark_jobs run ... first",
            )
    return funnel_so_far(db)


def funnel_so_far(db: DeltaReader) -> list[FunnelStep]:
    """The funnel as far as the tables of an unfinished run reach; `files` and `contents` must be
    there.

    Without decisions it ends at near duplicates, the first reason that is checked, or at exact
    ones. Raises SeedbedError where the steps do not add up.
    """
    steps: list[FunnelStep] = []
    kept = db.one("SELECT count(*) AS n FROM files")["n"]
    steps.append(FunnelStep("seen", 0, kept, "files"))
    dropped = "SELECT drop_reason AS r, count(*) AS n FROM files WHERE drop_reason IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
    for row in db.sql(dropped):
        kept -= row["n"]
        steps.append(FunnelStep(row["r"], row["n"], kept, "files"))
    contents = db.one("SELECT count(*) AS n FROM contents")["n"]
    steps.append(FunnelStep("duplicate_exact", kept - contents, contents, "contents"))
    if "decisions" in db and "documents" in db:
        steps += _decision_steps(db, contents)
    elif "clusters" in db:
        copies = db.one("SELECT count(*) AS n FROM clusters WHERE NOT survivor")["n"]
        steps.append(FunnelStep("duplicate_near", copies, contents - copies, "contents"))
    return steps


def _decision_steps(db: DeltaReader, contents: int) -> list[FunnelStep]:
    steps = []
    counts = {
        r["r"]: r["n"]
        for r in db.sql("SELECT reason AS r, count(*) AS n FROM decisions GROUP BY 1")
    }
    kept, documents = contents, db.one("SELECT count(*) AS n FROM documents")["n"]
    for reason in [*REASONS, *sorted(set(counts) - {None, *REASONS})]:
        if counts.get(reason):
            kept -= counts[reason]
            steps.append(FunnelStep(reason, counts[reason], kept, "contents"))
    if sum(counts.values()) != contents or kept != documents or counts.get(None, 0) != documents:
        raise SeedbedError(
            f"the funnel does not add up: {contents:,} contents, {sum(counts.values()):,} decisions, "
            f"{kept:,} left after drops, {documents:,} documents",
            "a run stopped between jobs: run `python -m spark_jobs run` to its end",
        )
    return steps


def funnel_text(output: str) -> str:
    """The funnel as an aligned table."""
    steps = funnel(output)
    lines = [f"{'':<18}{'dropped':>12}{'kept':>12}"]
    for step in steps:
        dropped = f"{step.dropped:,}" if step.dropped else ""
        lines.append(f"{step.reason:<18}{dropped:>12}{step.kept:>12,} {step.unit}")
    lines.append(f"{'documents':<18}{'':>12}{steps[-1].kept:>12,}")
    return "\n".join(lines)


@dataclass(frozen=True)
class TableState:
    """A table as it stands.

    `stale` says which of its inputs have moved on since its newest commit.
    """

    name: str
    rows: int
    version: int
    bytes: int
    job: str
    stale: tuple[str, ...]


def table_states(db: DeltaReader) -> list[TableState]:
    """The tables that are there, in the order of the graph, then post-training's."""
    states = []
    for name in db.names:
        lineage = db.lineage(name)
        stale = tuple(
            f"{table} was @{seen}, is @{db.version(table)}"
            for table, seen in lineage.get("inputs", {}).items()
            if table in db and db.version(table) != seen and table not in lineage.get("parts", {})
        )
        rows = db.one(f"SELECT count(*) AS n FROM {name}")["n"]
        job = lineage.get("job", "?")
        states.append(TableState(name, rows, db.version(name), db.bytes_on_disk(name), job, stale))
    return states


def status(output: str) -> str:
    """A line a table: rows, version, size, the job that wrote it, and whether its inputs have moved
    on since.
    """
    states = {
        state.name: state
        for state in table_states(DeltaReader(output, (*TABLE_NAMES, *OTHER_TABLE_NAMES)))
    }
    lines = [f"{'table':<15}{'rows':>12}{'version':>9}{'MB':>9}  written by"]
    for name in (*TABLE_NAMES, *(name for name in OTHER_TABLE_NAMES if name in states)):
        if name not in states:
            lines.append(f"{name:<15}{'-':>12}")
            continue
        state = states[name]
        note = f"  ({'; '.join(state.stale)})" if state.stale else ""
        lines.append(
            f"{name:<15}{state.rows:>12,}{state.version:>9}{state.bytes / 1e6:>9.1f}  {state.job}{note}"
        )
    return "\n".join(lines)


def explain(output: str, target: str) -> str:
    """One file's whole story, by path (or its end) or by SHA-256 (or its start of 8 or more
    digits).
    """
    db = DeltaReader(output, TABLE_NAMES)
    found = _find(db, target)
    blocks = [_story(db, sha) for sha in found["contents"][:5]]
    blocks += [
        f"{row['path']}  ({row['repo']} {row['revision']})\n  dropped at ingest: {row['drop_reason']}"
        for row in found["dropped"][:5]
    ]
    if len(found["contents"]) > 5:
        others = ", ".join(sha[:12] for sha in found["contents"][5:15])
        blocks.append(
            f"... and {len(found['contents']) - 5} more contents match {target!r}: {others}"
        )
    return "\n\n".join(blocks)


def _find(db: DeltaReader, target: str) -> dict[str, Any]:
    is_hash = len(target) >= 8 and all(c in "0123456789abcdef" for c in target)
    where = (
        "starts_with(content_sha256, ?)"
        if is_hash
        else "(path = ? OR ends_with(path, '/' || ?) OR ends_with(?, '/' || path))"
    )
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
    lines: list[str] = []
    places = db.sql(
        "SELECT * FROM files WHERE content_sha256 = ? AND drop_reason IS NULL ORDER BY doc_id",
        [sha],
    )
    first = places[0]
    lines.append(f"{first['path']}  ({first['repo']} {first['revision']})")
    lines.append(f"  content      {sha}")
    lines.append(
        f"  ingest       {first['language']}, {first['bytes']:,} bytes, license {first['license'] or 'unknown'}"
    )
    copies = [f"{p['repo']} {p['revision']} {p['path']}" for p in places[1:]]
    lines.append(f"  exact copies {len(copies)}" + (": " + "; ".join(copies[:3]) if copies else ""))
    for table, tell in (
        ("clusters", _tell_cluster),
        ("syntax", _tell_syntax),
        ("labels", _tell_label),
        ("scores", _tell_score),
    ):
        if table in db:
            lines += tell(db, sha)
    if "contamination" in db:
        hits = db.sql(
            "SELECT * FROM contamination WHERE content_sha256 = ? AND item IS NOT NULL ORDER BY benchmark",
            [sha],
        )
        lines.append(
            "  overlap      "
            + (
                "; ".join(f"{h['benchmark']} {h['item']}: {h['ngram']!r}" for h in hits)
                or "none found"
            )
        )
    if "decisions" in db:
        row = db.first("SELECT * FROM decisions WHERE content_sha256 = ?", [sha])
        if row is None:
            lines.append("  decision     not made yet")
        else:
            lines.append(
                "  decision     "
                + (f"dropped: {row['reason']} ({row['detail']})" if row["reason"] else "kept")
            )
    if "documents" in db:
        lines += _tell_document(db, sha)
    return "\n".join(lines)


def _tell_cluster(db: DeltaReader, sha: str) -> list[str]:
    row = db.first("SELECT * FROM clusters WHERE content_sha256 = ?", [sha])
    if row is None:
        return ["  near dups    not compared yet"]
    if row["cluster_size"] == 1:
        linked = db.one(
            "SELECT count(*) AS n FROM clusters WHERE component_id = ?", [row["component_id"]]
        )["n"]
        return [
            f"  near dups    none of {linked - 1} that are linked to it"
            if linked > 1
            else "  near dups    none"
        ]
    keeper = db.one(
        "SELECT content_sha256 AS s FROM clusters WHERE cluster_id = ? AND survivor",
        [row["cluster_id"]],
    )["s"]
    path = db.one("SELECT min(path) AS p FROM files WHERE content_sha256 = ?", [keeper])["p"]
    role = (
        "is the survivor"
        if row["survivor"]
        else f"Jaccard {row['jaccard']:.3f} to the survivor {keeper[:12]} {path}"
    )
    lines = [f"  near dups    cluster {row['cluster_id'][:12]} of {row['cluster_size']}; {role}"]
    edges = db.sql(
        "SELECT CASE WHEN a = ? THEN b ELSE a END AS other, jaccard, jaccard_estimate, band FROM near_edges "
        "WHERE a = ? OR b = ? ORDER BY jaccard DESC, other LIMIT 3",
        [sha, sha, sha],
    )
    for e in edges:
        evidence = (
            f"Jaccard {e['jaccard']:.3f} (estimated {e['jaccard_estimate']:.3f}, band {e['band']})"
        )
        lines.append(f"               edge to {e['other'][:12]}: {evidence}")
    return lines


def _tell_syntax(db: DeltaReader, sha: str) -> list[str]:
    r = db.first("SELECT * FROM syntax WHERE content_sha256 = ?", [sha])
    if r is None:
        return ["  syntax       not parsed yet"]
    if r["status"] != "ok":
        return [f"  syntax       {r['status']} ({r['parser'] or 'no grammar'})"]
    share = f"{r['error_share']:.2%} of bytes in error" if r["has_error"] else "no errors"
    return [
        f"  syntax       {r['parser']}: {share}; {r['functions']} functions, {r['classes']} classes, "
        f"{r['lines']:,} lines, {r['comment_share']:.0%} comments"
    ]


def _tell_label(db: DeltaReader, sha: str) -> list[str]:
    rows = db.sql("SELECT * FROM labels WHERE content_sha256 = ? ORDER BY oracle", [sha])
    return [
        f"  label        no rating by {r['oracle']}: {r.get('failure')}"
        if r["score"] is None
        else f"  label        {r['score']:g} of 10 by {r['oracle']}"
        + (f" ({r['zero_reason']})" if r["zero_reason"] else "")
        for r in rows
    ]


def _tell_score(db: DeltaReader, sha: str) -> list[str]:
    rows = db.sql("SELECT * FROM scores WHERE content_sha256 = ? ORDER BY scorer", [sha])
    return [f"  score        {r['quality']:.3f} by {r['scorer']}" for r in rows]


def _tell_document(db: DeltaReader, sha: str) -> list[str]:
    rows = db.sql(
        "SELECT document_id, split, epochs FROM documents WHERE list_contains([p.content_sha256 FOR p IN parts], ?)",
        [sha],
    )
    lines = []
    for row in rows:
        lines.append(
            f"  document     {row['document_id'][:16]}, split {row['split']}, {row['epochs']} epoch(s)"
        )
        if "token_index" in db:
            spots = db.sql(
                "SELECT * FROM token_index WHERE document_id = ? ORDER BY epoch",
                [row["document_id"]],
            )
            for s in spots:
                place = f"document {s['document_number']:,}, epoch {s['epoch']}"
                lines.append(
                    f"  tokens       {s['tokens']:,} in {s['shard_file']} at offset {s['offset']:,} ({place})"
                )
    return lines
