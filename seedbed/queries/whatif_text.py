"""The answer of whatif as text: totals, mix by language and license, and the border of the cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seedbed.tables.reader import DeltaReader

if TYPE_CHECKING:
    from seedbed.queries.whatif import Cut

# Contents that are shown on each side of the cut.
BORDER = 10
# Languages and licenses that are listed; the others are summed.
ROWS = 12


def answer(db: DeltaReader, cut: Cut, version: str) -> str:
    """The whole answer, from the table `ranked` of whatif.rank."""
    blocks = [_totals(db, cut, version), _mix(db, "language"), _mix(db, "license"), _border(db)]
    return "\n\n".join(blocks)


def _totals(db: DeltaReader, cut: Cut, version: str) -> str:
    groups = {
        "candidates": "true",
        "below the cut": "NOT above",
        "other reasons": "above AND NOT passes",
        "kept": "kept",
        "kept now": "kept_now",
    }
    rows = {
        name: db.one(
            "SELECT count(*) AS n, sum(bytes) AS size, sum(tokens) AS tokens FROM ranked "
            f"WHERE {condition}"
        )
        for name, condition in groups.items()
    }
    of = "each language" if cut.per == "language" else "all languages"
    lines = [
        f"drop the lowest {cut.share:.1%} of {of} and all below {cut.threshold:g}, by {version}"
    ]
    lines.append(f"{'':<16}{'contents':>12}{'MB':>10}{'tokens':>16}")
    lines += [
        f"{name:<16}{r['n']:>12,}{(r['size'] or 0) / 1e6:>10.1f}{_count(r['tokens']):>16}"
        for name, r in rows.items()
    ]
    return "\n".join(lines)


def _mix(db: DeltaReader, column: str) -> str:
    """One line per language or license: candidates, kept, share of bytes, lowest quality."""
    rows = db.sql(
        f"SELECT coalesce({column}, 'unknown') AS name, count(*) AS n, count_if(kept) AS kept, "
        "coalesce(sum(bytes) FILTER (kept), 0) AS size, sum(tokens) FILTER (kept) AS tokens, "
        "min(quality) FILTER (kept) AS lowest "
        "FROM ranked GROUP BY 1 ORDER BY size DESC, name"
    )
    total = sum(row["size"] for row in rows) or 1
    lines = [
        f"{column:<24}{'candidates':>12}{'kept':>10}{'kept %':>8}{'of bytes':>10}{'tokens':>14}"
        f"{'lowest':>9}"
    ]
    for row in rows[:ROWS]:
        lowest = "" if row["lowest"] is None else f"{row['lowest']:.3f}"
        lines.append(
            f"{row['name'][:23]:<24}{row['n']:>12,}{row['kept']:>10,}{row['kept'] / row['n']:>8.0%}"
            f"{row['size'] / total:>10.1%}{_count(row['tokens']):>14}{lowest:>9}"
        )
    if rest := rows[ROWS:]:
        n, kept = sum(r["n"] for r in rest), sum(r["kept"] for r in rest)
        share = sum(r["size"] for r in rest) / total
        lines.append(
            f"{f'{len(rest)} others':<24}{n:>12,}{kept:>10,}{kept / n:>8.0%}{share:>10.1%}"
        )
    return "\n".join(lines)


def _border(db: DeltaReader) -> str:
    """The contents next to the cut on both sides, which is where a person should look."""
    sides = [
        db.sql(
            "SELECT r.content_sha256, r.quality, coalesce(r.language, 'unknown') AS language, "
            "r.bytes, spot.repo, spot.path FROM ranked r "
            "JOIN (SELECT content_sha256, arg_min(struct_pack(repo, path), doc_id) AS spot "
            "FROM files WHERE drop_reason IS NULL GROUP BY 1) USING (content_sha256) "
            f"WHERE {where} ORDER BY r.quality {order}, r.content_sha256 {order} LIMIT ?",
            [BORDER],
        )
        for where, order in (("NOT above", "DESC"), ("above", "ASC"))
    ]
    lines = ["nearest the border, dropped above, kept or left to other rules below"]
    for row in [*reversed(sides[0]), None, *sides[1]]:
        if row is None:
            lines.append(f"  {'-' * 24} the cut {'-' * 24}")
            continue
        name = f"{row['content_sha256'][:12]}  {row['language'][:12]:<12} {row['bytes']:>9,} B"
        lines.append(f"  {row['quality']:.4f}  {name}  {row['repo']} {row['path']}")
    return "\n".join(lines)


def _count(value: Any) -> str:
    return "-" if value is None else f"{value:,.0f}"
