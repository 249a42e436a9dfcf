"""Near duplicates: cluster sizes, the largest clusters, the evidence, the audit, one pair."""

from __future__ import annotations

from typing import Any

from report import svg
from report.blocks import Block, Chart, Code, Fact, Figures, Note, Section, SideBySide, Table
from report.highlight import unified_diff
from report.run import Missing, RunFolder
from seedbed.tables.reader import DeltaReader

LARGEST = 8
AUDIT = "python -m spark_jobs audit output="
# A pair that a person can read: short, and changed in a few places. A similarity near 0.85 is
# neither a copy nor a coincidence.
_EXAMPLE = """
SELECT e.a, e.b, e.band, e.jaccard, e.jaccard_estimate
FROM near_edges e
JOIN contents x ON x.content_sha256 = e.a JOIN contents y ON y.content_sha256 = e.b
ORDER BY (x.bytes > 2500 OR y.bytes > 2500 OR x.bytes < 300 OR y.bytes < 300),
         abs(e.jaccard - 0.85), e.a, e.b LIMIT 1
"""
_PLACE = """
SELECT path, repo, revision FROM files WHERE content_sha256 = ? AND drop_reason IS NULL
ORDER BY repo, revision, path LIMIT 1
"""
_LARGEST = """
SELECT c.cluster_id, any_value(c.cluster_size) AS size,
       max(CASE WHEN c.survivor THEN c.content_sha256 END) AS survivor,
       count(DISTINCT f.repo) AS repos,
       string_agg(DISTINCT f.language, ', ' ORDER BY f.language) AS languages,
       min(c.jaccard) AS lowest
FROM clusters c JOIN files f ON f.content_sha256 = c.content_sha256 AND f.drop_reason IS NULL
WHERE c.cluster_size > 1 GROUP BY c.cluster_id ORDER BY size DESC, c.cluster_id LIMIT ?
"""


def section(run: RunFolder) -> Section:
    db = run.tables("files", "contents", "near_edges", "clusters")
    total = db.one(
        "SELECT count(*) AS contents, "
        "count(DISTINCT cluster_id) FILTER (cluster_size > 1) AS clusters, "
        "count(*) FILTER (cluster_size > 1) AS inside, count(*) FILTER (NOT survivor) AS dropped, "
        "coalesce(max(cluster_size), 0) AS largest FROM clusters"
    )
    copies = db.one(
        "SELECT count(*) - count(DISTINCT content_sha256) AS n FROM files WHERE drop_reason IS NULL"
    )["n"]
    blocks: list[Block] = [
        Figures(
            [
                Fact(f"{copies:,}", "exact copies"),
                Fact(f"{total['clusters']:,}", "near-duplicate clusters"),
                Fact(f"{total['inside']:,}", "contents in them"),
                Fact(f"{total['dropped']:,}", "dropped, one survivor each"),
            ]
        )
    ]
    if not total["clusters"]:
        return Section(
            "duplicates",
            "Duplicates",
            "No two contents are near duplicates.",
            blocks,
            "files, clusters",
        )
    blocks += [
        SideBySide([_sizes(db), _evidence(db)]),
        *_audit(run),
        _largest(db),
        _split_chains(db),
        _example(db),
    ]
    lead = (
        f"{total['dropped'] / total['contents']:.0%} of the distinct contents nearly repeat "
        "another; "
        f"the largest cluster holds {total['largest']:,}."
    )
    return Section(
        "duplicates", "Duplicates", lead, blocks, "files, contents, near_edges, clusters"
    )


def _sizes(db: DeltaReader) -> Chart:
    rows = db.sql(
        "SELECT cluster_size AS size, count(*) // cluster_size AS n FROM clusters "
        "WHERE cluster_size > 1 GROUP BY 1"
    )
    groups = [(2, 2), (3, 3), (4, 4), (5, 8), (9, 16), (17, 32), (33, 10**9)]
    values = []
    for low, high in groups:
        label = str(low) if low == high else f"{low}-{high}" if high < 10**9 else f"{low}+"
        values.append((label, sum(r["n"] for r in rows if low <= r["size"] <= high)))
    while len(values) > 1 and not values[-1][1]:
        values.pop()
    return Chart(
        "Cluster sizes", svg.columns("Cluster sizes", values, "contents in the cluster", "clusters")
    )


def _evidence(db: DeltaReader) -> Chart:
    rows = db.sql(
        "SELECT least(floor(jaccard * 50), 49)::INT AS bin, count(*) AS n FROM near_edges "
        "GROUP BY 1"
    )
    counts = {row["bin"]: row["n"] for row in rows}
    first = min(counts)
    bins = range(first, 50)
    threshold = db.lineage("near_edges").get("params", {}).get("threshold")
    marks = [(float(threshold), f"threshold {threshold:g}")] if threshold is not None else []
    drawing = svg.histogram(
        "True Jaccard of the edges",
        [first / 50, *[(b + 1) / 50 for b in bins]],
        [("pairs", "c1", [counts.get(b, 0) for b in bins])],
        "Jaccard similarity of 5-token shingles",
        "edges",
        marks,
    )
    error = db.one("SELECT sqrt(avg((jaccard - jaccard_estimate) ** 2)) AS rmse FROM near_edges")[
        "rmse"
    ]
    caption = (
        "MinHash proposes, the true similarity decides; the estimate is off by "
        f"{error:.3f} (root mean square)."
    )
    return Chart("True Jaccard of the edges", drawing, caption=caption)


def _largest(db: DeltaReader) -> Table:
    rows = []
    for row in db.sql(_LARGEST, [LARGEST]):
        place = db.one(_PLACE, [row["survivor"]])
        where = f"{place['repo']} {place['revision']}"
        lowest = f"{row['lowest']:.3f}"
        rows.append(
            [
                f"{row['size']:,}",
                lowest,
                place["path"],
                where,
                f"{row['repos']:,}",
                row["languages"] or "",
            ]
        )
    head = ["size", "lowest Jaccard", "survivor", "kept from", "repositories", "languages"]
    caption = (
        "The lowest true Jaccard similarity of a member to the survivor; never below the threshold."
    )
    return Table(head, rows, frozenset({0, 1, 4}), "Largest clusters", caption)


def _split_chains(db: DeltaReader) -> Note:
    row = db.one(
        "SELECT count(*) AS components, coalesce(sum(survivors - 1), 0)::BIGINT AS freed FROM "
        "(SELECT count_if(survivor) AS survivors FROM clusters GROUP BY component_id "
        "HAVING count_if(survivor) > 1)"
    )
    return Note(
        f"{row['components']:,} chains of near duplicates were split, since their ends were "
        f"too unlike; {row['freed']:,} contents survive by it."
    )


def _audit(run: RunFolder) -> list[Block]:
    """Precision and recall by brute force, or the command that measures them."""
    try:
        result = run.document("curate/audit.json")
    except Missing:
        return [
            Note(
                "Precision and recall have not been measured. Measure them with",
                f"{AUDIT}{run.output}",
            )
        ]
    if result["clusters_version"] != run.tables("clusters").version("clusters"):
        return [
            Note(
                "The clusters have changed since they were audited. Audit them with",
                f"{AUDIT}{run.output}",
            )
        ]
    found = result["recall"]
    rows = [
        ["precision", name if name != "all" else "all dropped contents", *_interval(value)]
        for name, value in result["precision"]["dropped"].items()
    ]
    rows.append(
        [
            "within a cluster",
            "any two members",
            *_interval(result["precision"]["same cluster"]["all"]),
        ]
    )
    rows.append(["recall", "near duplicates resolved", *_interval(found["resolved"])])
    rows.append(["recall", "in one cluster", *_interval(found["together"])])
    caption = (
        "True Jaccard by brute force: dropped contents against what was kept for them, and "
        f"{found['drawn']:,} contents against {found['pool']:,}. Intervals are Wilson's at Kish's "
        "effective sample size."
    )
    return [
        Table(
            ["", "of", "share", "95 % interval", "sampled"],
            rows,
            frozenset({2, 4}),
            "Audit",
            caption,
        )
    ]


def _interval(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["", "", "0"]
    return [
        f"{found['value']:.2%}",
        f"{found['low']:.2%} to {found['high']:.2%}",
        f"{found['n']:,}",
    ]


def _example(db: DeltaReader) -> Code:
    pair = db.one(_EXAMPLE)
    texts, places = [], []
    for sha in (pair["a"], pair["b"]):
        texts.append(db.one("SELECT text FROM contents WHERE content_sha256 = ?", [sha])["text"])
        places.append(db.one(_PLACE, [sha]))
    names = [f"{place['repo']} {place['revision']}: {place['path']}" for place in places]
    found = f"estimated {pair['jaccard_estimate']:.3f}, found by band {pair['band']}"
    title = f"A near-duplicate pair: Jaccard {pair['jaccard']:.3f}, {found}"
    return Code(title, unified_diff(texts[0], texts[1]), [f"− {names[0]}", f"+ {names[1]}"], "diff")
