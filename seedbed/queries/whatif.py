"""What another quality cut would keep, from the tables alone, with the files on its border.

    python -m spark_jobs whatif output=DIR cut=0.2 [per=language] [threshold=0.3]
        [threshold_of=Python=0.5] [scorer=VERSION]

Each setting may also be written as a flag: --cut 0.2 --per language.

The other reasons of the policy (syntax, contamination, licenses and so on) are those that
`decisions` was written with, so that the cut in force gives exactly what select_documents wrote.
DuckDB reads the Delta files; Spark is not started.
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from conf.errors import SeedbedError
from conf.flags import parse_flags
from conf.schema.curate import SelectSettings
from seedbed.queries import whatif_text
from seedbed.tables import reasons
from seedbed.tables.reader import DeltaReader

NEEDED = ("files", "contents", "scores", "contamination", "decisions")
COMMAND = "python -m spark_jobs whatif output=DIR cut=0.1"

# Spark has this function already; so one text of SQL serves both (seedbed/tables/reasons.py).
FORMAT = """
CREATE OR REPLACE TEMP MACRO format_string
    (f, a) AS printf(f, a), (f, a, b) AS printf(f, a, b), (f, a, b, c) AS printf(f, a, b, c),
    (f, a, b, c, d) AS printf(f, a, b, c, d)
"""
# One row per content that the cut ranks: what `decisions` did not drop by a reason before the cut.
# All of them are survivors, as duplicates are dropped before.
_CANDIDATES = """
CREATE OR REPLACE TEMP TABLE candidates AS
WITH hits AS (SELECT content_sha256, min(struct_pack(benchmark, item, ngram)) AS overlap
              FROM contamination CROSS JOIN in_force
              WHERE item IS NOT NULL AND list_contains(policy.benchmarks, benchmark) GROUP BY 1),
denied AS (SELECT content_sha256, min(struct_pack(doc_id, license, repo, path)) AS denied_copy
           FROM files CROSS JOIN in_force
           WHERE drop_reason IS NULL AND list_contains(policy.licenses_denied, lower(license))
           GROUP BY 1),
known AS (SELECT content_sha256, arg_min(coalesce(license, 'unknown'), doc_id) AS license
          FROM files WHERE drop_reason IS NULL GROUP BY 1),
scored AS (SELECT content_sha256, quality FROM scores WHERE scorer = $scorer),
parsed AS ({parsed})
SELECT content_sha256, c.language, c.bytes, quality, overlap, denied_copy, status, error_share,
       true AS survivor, NULL::VARCHAR AS cluster_id, NULL::VARCHAR AS keeper,
       CASE policy.cut_per WHEN 'language' THEN coalesce(c.language, '') ELSE '' END AS cut_group,
       known.license AS license, d.reason IS NULL AS kept_now
FROM contents c JOIN decisions d USING (content_sha256) CROSS JOIN in_force
LEFT JOIN scored USING (content_sha256) LEFT JOIN parsed USING (content_sha256)
LEFT JOIN hits USING (content_sha256) LEFT JOIN denied USING (content_sha256)
LEFT JOIN known USING (content_sha256)
WHERE d.reason IS NULL OR NOT list_contains($before::VARCHAR[], d.reason)
"""
_PARSED = "SELECT content_sha256, status, error_share FROM syntax"
_NOT_PARSED = "SELECT NULL::VARCHAR AS content_sha256, NULL AS status, NULL AS error_share"
# The last content that the cut drops in each group, by the same arithmetic as select_documents.
_CUTS = """
CREATE OR REPLACE TEMP TABLE cuts AS
SELECT cut_group, struct_pack(quality, content_sha256, text := printf('%.4f', quality)) AS cut
FROM (SELECT *, count(*) OVER (PARTITION BY cut_group) AS among,
             row_number() OVER (PARTITION BY cut_group ORDER BY quality, content_sha256) AS place
      FROM candidates)
CROSS JOIN in_force WHERE place = floor(policy.drop_lowest * among + 1e-9)
"""
_RANKED = """
CREATE OR REPLACE TEMP TABLE ranked AS
SELECT *, above AND passes AS kept FROM (
    SELECT candidates.*, ({under}) IS NOT TRUE AS above, NOT {others} AS passes,
           {reason} AS reason, {detail} AS detail
    FROM candidates CROSS JOIN in_force LEFT JOIN cuts USING (cut_group))
"""
_PACKED = """
CREATE OR REPLACE TEMP TABLE packed AS
SELECT d.parts[1].content_sha256 AS content_sha256, coalesce(d.language, '') AS language,
       any_value(d.bytes) AS bytes, any_value(t.tokens) AS tokens
FROM documents d JOIN token_index t USING (document_id) GROUP BY ALL
"""
_ESTIMATED = """
WITH rate AS (SELECT language, sum(tokens) / sum(bytes) AS each FROM packed GROUP BY 1),
mean AS (SELECT sum(tokens) / sum(bytes) AS every FROM packed),
estimate AS (SELECT r.content_sha256, coalesce(p.tokens, r.bytes * coalesce(each, every)) AS tokens
             FROM ranked r LEFT JOIN packed p USING (content_sha256)
             LEFT JOIN rate ON rate.language = coalesce(r.language, '') CROSS JOIN mean)
UPDATE ranked SET tokens = estimate.tokens FROM estimate
WHERE estimate.content_sha256 = ranked.content_sha256
"""


@dataclass(frozen=True)
class Cut:
    """The `share` of the candidates with the lowest quality is dropped, and all below `threshold`.

    per: "all" takes the share over all languages at once, "language" in each language.
    threshold_of: thresholds of single languages, instead of `threshold`.

    Raises SeedbedError for a figure that is not between 0 and 1, and for another `per`.
    """

    share: float = 0.0
    threshold: float = 0.0
    per: str = "all"
    threshold_of: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        figures = {"cut": self.share, "threshold": self.threshold, **self.threshold_of}
        for name, value in figures.items():
            if not 0 <= value <= 1:
                raise SeedbedError(
                    f"{name}={value} is not between 0 and 1",
                    "give a share or a quality such as 0.1",
                )
        if self.per not in ("all", "language"):
            raise SeedbedError(f"per={self.per} is unknown", "give per=all or per=language")

    def policy(self) -> dict[str, Any]:
        """The settings of the config section `select` that mean this cut."""
        return {
            "drop_lowest": self.share,
            "cut_per": self.per,
            "min_quality": self.threshold,
            "min_quality_of": self.threshold_of,
        }

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


@dataclass(frozen=True)
class WhatIf:
    """The answer: what a cut would drop, and by which reason.

    scorer: the version whose scores were used.
    kept: contents that would be kept; kept_now: contents that `decisions` keeps.
    reasons: reason -> contents that it would drop.
    text: the whole answer for people, which is also the printed form.
    """

    cut: Cut
    scorer: str
    kept: int
    kept_now: int
    reasons: dict[str, int]
    text: str = field(repr=False)

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def main(argv: list[str]) -> int:
    """The command: prints the answer."""
    parser = ArgumentParser(
        "python -m spark_jobs whatif",
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    share, per = "share with the lowest quality to drop, 0-1", "share of all or of each language"
    threshold, of = "drop all below this quality, 0-1", "the threshold of one language"
    parser.add_argument("output", metavar="output=DIR")
    parser.add_argument("--cut", type=float, default=0.0, help=share)
    parser.add_argument("--threshold", type=float, default=0.0, help=threshold)
    parser.add_argument("--per", choices=("all", "language"), default="all", help=per)
    parser.add_argument(
        "--threshold-of", action="append", default=[], metavar="LANGUAGE=Q", help=of
    )
    parser.add_argument("--scorer", help="another version in table scores than the one in force")
    args = parse_flags(parser, argv)
    if not args.output.startswith("output="):
        raise SeedbedError(f"whatif does not take {args.output!r}", COMMAND)
    thresholds = dict(_language_threshold(item) for item in args.threshold_of)
    cut = Cut(args.cut, args.threshold, args.per, thresholds)
    print(what_if(DeltaReader(args.output.removeprefix("output=")), cut, args.scorer))
    return 0


def _language_threshold(item: str) -> tuple[str, float]:
    language, _, value = item.partition("=")
    try:
        return language, float(value)
    except ValueError as error:
        raise SeedbedError(
            f"threshold_of={item} is not LANGUAGE=QUALITY", "write it as threshold_of=Python=0.5"
        ) from error


def what_if(db: DeltaReader, cut: Cut, scorer: str | None = None) -> WhatIf:
    """What `cut` would keep. The tables `ranked` and `candidates` stay in `db` for queries.

    Raises SeedbedError where a table or the rows of the scorer are missing.
    """
    version = rank(db, cut, scorer)
    counts = {
        row["reason"]: row["n"]
        for row in db.sql(
            "SELECT reason, count(*) AS n FROM ranked WHERE reason IS NOT NULL GROUP BY 1 "
            "UNION ALL SELECT reason, count(*) FROM decisions "
            "WHERE list_contains($before::VARCHAR[], reason) GROUP BY 1",
            {"before": _names(reasons.before_cut())},
        )
    }
    totals = db.one("SELECT count_if(kept) AS kept, count_if(kept_now) AS kept_now FROM ranked")
    ordered = {name: counts[name] for name in reasons.names() if name in counts}
    command = f"to have it: python -m spark_jobs run ... from=decisions {cut.settings()}"
    text = "\n\n".join([whatif_text.answer(db, cut, version), command])
    return WhatIf(cut, version, totals["kept"], totals["kept_now"], ordered, text)


def rank(db: DeltaReader, cut: Cut, scorer: str | None = None) -> str:
    """Make the table `ranked` in `db`: one row per candidate; returns the scorer's version.

    above: the cut keeps it. passes: no reason after the cut drops it. kept: both. reason, detail:
    the first reason that drops it. tokens: as packed, or estimated.
    """
    for table in NEEDED:
        if table not in db:
            raise SeedbedError(
                f"whatif needs table {table}, which is not there yet",
                "python -m spark_jobs run ... until=decisions",
            )
    written = db.lineage("decisions").get("params", {})
    unsaid = [f.name for f in fields(SelectSettings) if f.name not in written]
    if unsaid:
        raise SeedbedError(
            f"table decisions does not say by which {unsaid[0]} it was written",
            "run select_documents again",
        )
    version = scorer or written["scorer"]
    struct, bound = policy_struct(reasons.policy_values({**written, **cut.policy()}))
    db.sql(f"CREATE OR REPLACE TEMP TABLE in_force AS SELECT {struct} AS policy", bound)
    db.sql(FORMAT)
    parsed = _PARSED if "syntax" in db else _NOT_PARSED
    before = _names(reasons.before_cut())
    db.sql(_CANDIDATES.format(parsed=parsed), {"scorer": version, "before": before})
    _refuse_unscored(db, version)
    db.sql(_CUTS)
    from_cut = reasons.CONTENT_REASONS[len(before) :]
    db.sql(
        _RANKED.format(
            under=from_cut[0].condition,
            others=reasons.any_holds(reasons.after_cut()),
            reason=reasons.first_reason(from_cut),
            detail=reasons.first_detail(from_cut),
        )
    )
    _estimate_tokens(db)
    return version


def _names(some: tuple[reasons.Reason, ...]) -> list[str]:
    return [reason.name for reason in some]


def policy_struct(values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """SQL of the struct `policy` that conditions read, and the values that are bound to it."""
    packed: list[str] = []
    bound: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            packed.append(f'"{name}" := map(${name}_keys::VARCHAR[], ${name}_values::DOUBLE[])')
            bound |= {f"{name}_keys": list(value), f"{name}_values": list(value.values())}
        else:
            packed.append(f'"{name}" := ${name}{"::VARCHAR[]" if isinstance(value, list) else ""}')
            bound[name] = value
    return f"struct_pack({', '.join(packed)})", bound


def _refuse_unscored(db: DeltaReader, version: str) -> None:
    found = db.one("SELECT count(*) AS n, count_if(quality IS NULL) AS unscored FROM candidates")
    if found["unscored"]:
        scorers = db.sql("SELECT DISTINCT scorer FROM scores ORDER BY 1")
        raise SeedbedError(
            f"{found['unscored']:,} of {found['n']:,} candidates have no score by {version}",
            "score them (score.scope=survivors), or give one of: "
            + ", ".join(row["scorer"] for row in scorers),
        )


def _estimate_tokens(db: DeltaReader) -> None:
    """Add `tokens` to `ranked`: as packed, or by the tokens per byte of the language's documents.

    They are null where nothing is packed.
    """
    db.sql("ALTER TABLE ranked ADD COLUMN tokens DOUBLE")
    if "token_index" in db and "documents" in db:
        db.sql(_PACKED)
        db.sql(_ESTIMATED)
