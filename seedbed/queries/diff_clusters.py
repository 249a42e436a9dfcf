"""What a newer version of `clusters` changed: new contents, and survivors that changed.

    python -m spark_jobs diff output=DIR [from=VERSION] [to=VERSION]

The newest version is compared with the one before it by default. New files can flip a survivor:
they bring a better ranked content (a license, more stars), or a link between clusters.
"""

from __future__ import annotations

from typing import Any

from conf.errors import SeedbedError
from seedbed.tables.reader import DeltaReader

# Changed survivors that are listed one by one.
SHOWN = 20
_FLIPS = """
SELECT n.content_sha256 AS sha, n.survivor, n.cluster_id, n.jaccard,
       (SELECT min(path) FROM files f WHERE f.content_sha256 = n.content_sha256) AS path,
       (SELECT k.content_sha256 FROM {new} k
        WHERE k.cluster_id = n.cluster_id AND k.survivor) AS keeper
FROM {new} n JOIN {old} o USING (content_sha256)
WHERE n.survivor <> o.survivor ORDER BY n.survivor, n.content_sha256
"""


def diff(output: str, old: int | None = None, new: int | None = None) -> str:
    """The difference as text. Raises SeedbedError where there are no two versions to compare."""
    db = DeltaReader(output, ("clusters", "files"))
    if "clusters" not in db or db.version("clusters") == 0:
        raise SeedbedError(
            f"clusters under {output} has no two versions to compare",
            "run the pipeline again after new input has come in (python -m spark_jobs run)",
        )
    new = db.version("clusters") if new is None else new
    old = new - 1 if old is None else old
    names = {"old": db.at("clusters", old), "new": db.at("clusters", new)}
    came, left = (
        db.one(
            "SELECT count(*) AS n FROM {} a ANTI JOIN {} b USING (content_sha256)".format(*pair)
        )["n"]
        for pair in ((names["new"], names["old"]), (names["old"], names["new"]))
    )
    counts = {
        name: db.one(f"SELECT count_if(survivor) AS n FROM {view}")["n"]
        for name, view in names.items()
    }
    flips = db.sql(_FLIPS.format(**names))
    gave_way = [row for row in flips if not row["survivor"]]
    revived = [row for row in flips if row["survivor"]]
    lines = [
        f"clusters@{old} -> clusters@{new}: {came:,} contents came, {left:,} left; "
        f"survivors {counts['old']:,} -> {counts['new']:,}",
        f"{len(gave_way):,} survivors gave way, {len(revived):,} dropped contents survive now",
        *_listed(
            gave_way,
            lambda row: (
                f"- {row['sha'][:12]} {row['path']}  now a copy of {row['keeper'][:12]} "
                f"({row['jaccard']:.3f})"
            ),
        ),
        *_listed(revived, lambda row: f"+ {row['sha'][:12]} {row['path']}"),
    ]
    return "\n".join(lines)


def _listed(rows: list[dict[str, Any]], line: Any) -> list[str]:
    more = [f"  ... and {len(rows) - SHOWN:,} more"] if len(rows) > SHOWN else []
    return [f"  {line(row)}" for row in rows[:SHOWN]] + more
