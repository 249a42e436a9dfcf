"""What another cut would keep, from the tables alone: contents, tokens, languages, licences, and
the files on its border.

    python -m spark_jobs whatif output=DIR --cut 0.2 [--per language] | --threshold 0.3 [--threshold-of Python=0.5] [--scorer V]

The other rules of the policy (syntax, contamination, licences ...) are those that `decisions` was
written with, so that asking for the cut in force counts exactly what select_documents wrote. No
Spark: DuckDB over the Delta files.
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import dataclass, field
from typing import Any

from conf.errors import SeedbedError
from seedbed.queries.explain import TABLE_NAMES
from seedbed.tables.reader import DeltaReader

# contents on each side of the cut that are shown
BORDER = 10
# languages and licences that are listed; the others are summed
ROWS = 12
NEEDED = ("files", "contents", "scores", "contamination", "decisions")

# One row a content that the quality cut ranks: what `decisions` did not drop by a rule that comes
# before the cut.
_CANDIDATES = """
CREATE TABLE candidates AS
WITH hits AS (SELECT DISTINCT content_sha256 FROM contamination
              WHERE item IS NOT NULL AND list_contains($benchmarks::VARCHAR[], benchmark)),
denied AS (SELECT DISTINCT content_sha256 FROM files
           WHERE drop_reason IS NULL AND list_contains($licenses_denied::VARCHAR[], lower(license))),
licence AS (SELECT content_sha256, arg_min(coalesce(license, 'unknown'), doc_id) AS license FROM files
            WHERE drop_reason IS NULL GROUP BY 1)
SELECT c.content_sha256, coalesce(c.language, '') AS language, c.bytes, s.quality, l.license,
       c.content_sha256 NOT IN (SELECT * FROM hits) AND c.content_sha256 NOT IN (SELECT * FROM denied)
         AND NOT list_contains($languages_denied::VARCHAR[], lower(coalesce(c.language, '')))
         AND c.bytes >= $min_bytes AS passes,
       d.reason IS NULL AS kept_now
FROM contents c JOIN decisions d USING (content_sha256)
LEFT JOIN (SELECT content_sha256, quality FROM scores WHERE scorer = $scorer) s USING (content_sha256)
LEFT JOIN licence l USING (content_sha256)
WHERE d.reason IS NULL OR d.reason NOT IN ('duplicate_near', 'duplicate_repository', 'syntax')
"""
_RANKED = """
CREATE TABLE ranked AS
SELECT *, NOT (place <= floor($share * among + 1e-9) OR quality < floor_of) AS above, above AND passes AS kept FROM (
  SELECT *, row_number() OVER (PARTITION BY {group} ORDER BY quality, content_sha256) AS place,
         count(*) OVER (PARTITION BY {group}) AS among,
         coalesce(map($key::VARCHAR[], $value::DOUBLE[])[language], $threshold) AS floor_of
  FROM candidates)
"""


@dataclass(frozen=True)
class Cut:
    """`share` of the candidates with the lowest quality are dropped, of all or of each language,
    and all below `threshold`.

    threshold_of: thresholds of single languages, instead of `threshold`.
    """

    share: float = 0.0
    threshold: float = 0.0
    per: str = "all"
    threshold_of: dict[str, float] = field(default_factory=dict)

    def settings(self) -> str:
        """The overrides of select_documents that mean this cut."""
        words = [
            f"select.drop_lowest={self.share:g}",
            f"select.cut_per={self.per}",
            f"select.min_quality={self.threshold:g}",
        ]
        return " ".join(
            [*words, *(f"'select.min_quality_of.{n}={v:g}'" for n, v in self.threshold_of.items())]
        )


def main(argv: list[str]) -> int:
    parser = ArgumentParser(
        "python -m spark_jobs whatif",
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("output", metavar="output=DIR")
    parser.add_argument(
        "--cut", type=float, default=0.0, help="share with the lowest quality to drop, 0-1"
    )
    parser.add_argument(
        "--threshold", type=float, default=0.0, help="drop all below this quality, 0-1"
    )
    parser.add_argument(
        "--per",
        choices=("all", "language"),
        default="all",
        help="share of the whole or of each language",
    )
    parser.add_argument(
        "--threshold-of",
        action="append",
        default=[],
        metavar="LANGUAGE=Q",
        help="the threshold of one language",
    )
    parser.add_argument("--scorer", help="another version in table scores than the one in force")
    args = parser.parse_args(argv)
    if not args.output.startswith("output="):
        raise SeedbedError(
            f"whatif does not take {args.output!r}",
            "python -m spark_jobs whatif output=DIR --cut 0.1",
        )
    of = dict(_language_threshold(item) for item in args.threshold_of)
    for name, value in [("cut", args.cut), ("threshold", args.threshold), *of.items()]:
        if not 0 <= value <= 1:
            raise SeedbedError(
                f"{name}={value} is not between 0 and 1", "give a share or a quality such as 0.1"
            )
    print(
        report(
            args.output.removeprefix("output="),
            Cut(args.cut, args.threshold, args.per, of),
            args.scorer,
        )
    )
    return 0


def _language_threshold(item: str) -> tuple[str, float]:
    language, _, value = item.partition("=")
    try:
        return language, float(value)
    except ValueError as error:
        raise SeedbedError(
            f"--threshold-of {item} is not LANGUAGE=QUALITY", "write it as Python=0.5"
        ) from error


def report(output: str, cut: Cut, scorer: str | None = None) -> str:
    """The whole answer as text.

    Raises SeedbedError where a table or the scorer's rows are missing.
    """
    db = DeltaReader(output, TABLE_NAMES)
    version = rank(db, cut, scorer)
    blocks = [_totals(db, cut, version), _mix(db, "language"), _mix(db, "license"), _border(db)]
    return "\n\n".join(
        [*blocks, f"to have it: python -m spark_jobs run ... from=decisions {cut.settings()}"]
    )


def rank(db: DeltaReader, cut: Cut, scorer: str | None = None) -> str:
    """Make the table `ranked` in `db`: a row a candidate, `above` the cut or not, `kept` or not;
    returns the scorer's version.
    """
    for table in NEEDED:
        if table not in db:
            raise SeedbedError(
                f"whatif needs table {table}, which is not there yet",
                "python -m spark_jobs run ... until=decisions",
            )
    policy = db.lineage("decisions").get("params")
    if not policy:
        raise SeedbedError(
            "table decisions does not say by which policy it was written",
            "run select_documents again",
        )
    version = scorer or policy["scorer"]
    lowered = {
        name: [value.lower() for value in policy[name]]
        for name in ("licenses_denied", "languages_denied")
    }
    plain = {name: policy[name] for name in ("min_bytes", "benchmarks")}
    db.sql(_CANDIDATES, {**plain, **lowered, "scorer": version})
    missing = db.one("SELECT count(*) AS n, count_if(quality IS NULL) AS unscored FROM candidates")
    if missing["unscored"]:
        known = ", ".join(
            row["scorer"] for row in db.sql("SELECT DISTINCT scorer FROM scores ORDER BY 1")
        )
        raise SeedbedError(
            f"{missing['unscored']:,} of {missing['n']:,} candidates have no score by {version}",
            f"score them (score.scope=survivors), or give one of: {known}",
        )
    group = "language" if cut.per == "language" else "1"
    of = {"key": list(cut.threshold_of), "value": list(cut.threshold_of.values())}
    db.sql(_RANKED.format(group=group), {"share": cut.share, "threshold": cut.threshold, **of})
    _estimate_tokens(db)
    return version


def _estimate_tokens(db: DeltaReader) -> None:
    """Add `tokens`: as packed, or by the tokens a byte of the language's packed documents; null
    where nothing is packed.
    """
    db.sql("ALTER TABLE ranked ADD COLUMN tokens DOUBLE")
    if "token_index" not in db or "documents" not in db:
        return
    db.sql(
        "CREATE TABLE packed AS SELECT d.parts[1].content_sha256 AS content_sha256, coalesce(d.language, '') AS language, "
        "any_value(d.bytes) AS bytes, any_value(t.tokens) AS tokens "
        "FROM documents d JOIN token_index t USING (document_id) GROUP BY ALL"
    )
    db.sql(
        "WITH rate AS (SELECT language, sum(tokens) / sum(bytes) AS rate FROM packed GROUP BY 1), "
        "mean AS (SELECT sum(tokens) / sum(bytes) AS rate FROM packed), "
        "estimate AS (SELECT r.content_sha256, coalesce(p.tokens, r.bytes * coalesce(rate.rate, mean.rate)) AS tokens "
        "FROM ranked r "
        "LEFT JOIN packed p USING (content_sha256) LEFT JOIN rate ON rate.language = r.language CROSS JOIN mean) "
        "UPDATE ranked SET tokens = estimate.tokens FROM estimate WHERE estimate.content_sha256 = ranked.content_sha256"
    )


def _totals(db: DeltaReader, cut: Cut, version: str) -> str:
    rows = db.sql(
        "SELECT 'candidates' AS what, count(*) AS n, sum(bytes) AS size, sum(tokens) AS tokens FROM ranked UNION ALL "
        "SELECT 'below the cut', count(*), sum(bytes), sum(tokens) FROM ranked WHERE NOT above UNION ALL "
        "SELECT 'other reasons', count(*), sum(bytes), sum(tokens) FROM ranked WHERE above AND NOT passes UNION ALL "
        "SELECT 'kept', count(*), sum(bytes), sum(tokens) FROM ranked WHERE kept UNION ALL "
        "SELECT 'kept now', count(*), sum(bytes), sum(tokens) FROM ranked WHERE kept_now"
    )
    of = "each language" if cut.per == "language" else "all languages"
    lines = [
        f"drop the lowest {cut.share:.1%} of {of} and all below {cut.threshold:g}, by {version}"
    ]
    lines.append(f"{'':<16}{'contents':>12}{'MB':>10}{'tokens':>16}")
    lines += [
        f"{r['what']:<16}{r['n']:>12,}{(r['size'] or 0) / 1e6:>10.1f}{_count(r['tokens']):>16}"
        for r in rows
    ]
    return "\n".join(lines)


def _mix(db: DeltaReader, column: str) -> str:
    """A line a language or licence: candidates, kept, its share of the kept bytes, and the lowest
    quality kept.
    """
    rows = db.sql(
        f"SELECT coalesce({column}, 'unknown') AS name, count(*) AS n, count_if(kept) AS kept, "
        "coalesce(sum(bytes) FILTER (kept), 0) AS size, sum(tokens) FILTER (kept) AS tokens, "
        "min(quality) FILTER (kept) AS lowest "
        "FROM ranked GROUP BY 1 ORDER BY size DESC, name"
    )
    total = sum(row["size"] for row in rows) or 1
    lines = [
        f"{column:<24}{'candidates':>12}{'kept':>10}{'kept %':>8}{'of bytes':>10}{'tokens':>14}{'lowest':>9}"
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
    """The contents next to the cut on both sides, nearest first on each: where a person should
    look.
    """
    sides = [
        db.sql(
            "SELECT r.content_sha256, r.quality, r.language, r.bytes, spot.repo, spot.path, r.above FROM ranked r "
            "JOIN (SELECT content_sha256, arg_min(struct_pack(repo, path), doc_id) AS spot FROM files "
            "WHERE drop_reason IS NULL GROUP BY 1) USING (content_sha256) "
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
