"""Rows of verdicts that break the rules of selection, which Spark and DuckDB must see alike."""

from __future__ import annotations

from typing import Any

from conf.schema.curate import SelectSettings

VERDICTS = (
    "content_sha256 string, shard int, language string, bytes long, cluster_id string, "
    "survivor boolean, keeper string, status string, error_share double, quality double, "
    "overlap struct<benchmark: string, item: string, ngram: string>, "
    "denied_copy struct<doc_id: string, license: string, repo: string, path: string>"
)
GOOD: dict[str, Any] = {
    "shard": 0,
    "language": "Python",
    "bytes": 100,
    "cluster_id": "c",
    "survivor": True,
    "keeper": "k",
    "status": "ok",
    "error_share": 0.0,
    "quality": 0.9,
    "overlap": None,
    "denied_copy": None,
}
# (reason, what a row must hold for it, its detail), in the order in which they are checked.
FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("duplicate_near", {"survivor": False}, "cluster c keeps k"),
    ("syntax", {"error_share": 0.5}, "error share 0.5000 > 0.02"),
    ("low_quality", {"quality": 0.1}, "quality 0.1000 <= cut 0.1000"),
    (
        "contaminated",
        {"overlap": ("humaneval@x", "HumanEval/1", "a b c")},
        "humaneval@x HumanEval/1: a b c",
    ),
    ("license", {"denied_copy": ("d", "GPL-3.0-only", "r", "p.py")}, "GPL-3.0-only in r p.py"),
    ("language", {"language": "PHP"}, "PHP"),
    ("too_short", {"bytes": 3}, "3 bytes < 32"),
]
POLICY = SelectSettings(drop_lowest=0.1, languages_denied=["php"])


def faulty() -> list[dict[str, Any]]:
    """Content i has fault i and every later one; five good ones follow.

    All but one have a good score, so that the cut falls on that one.
    """
    rows = []
    for i in range(len(FAULTS)):
        faults = {key: value for _, fault, _ in FAULTS[i:] for key, value in fault.items()}
        rows.append({**faults, "quality": 0.1 if i == 2 else 0.5, "content_sha256": f"fault-{i}"})
    return [*rows, *({"content_sha256": f"good-{i}"} for i in range(5))]
