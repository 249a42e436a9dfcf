"""What the parsers said, language by language."""

from __future__ import annotations

from report.blocks import Fact, Figures, Section, Table
from report.run import RunFolder

SHOWN = 15
_BY_LANGUAGE = """
SELECT coalesce(c.language, 'unknown') AS language, count(*) AS files,
       count(*) FILTER (s.status = 'ok') AS parsed,
       count(*) FILTER (s.status = 'ok' AND s.has_error) AS with_error,
       coalesce(avg(s.error_share) FILTER (s.status = 'ok'), 0) AS mean_share,
       count(*) FILTER (s.status IN ('timeout', 'failed')) AS gave_up,
       coalesce(sum(s.functions), 0)::BIGINT AS functions,
       coalesce(sum(s.lines), 0)::BIGINT AS lines
FROM syntax s JOIN contents c USING (content_sha256) GROUP BY 1 ORDER BY files DESC, language
"""
_DROPPED = """
SELECT coalesce(c.language, 'unknown') AS language, count(*) AS n
FROM decisions d JOIN contents c USING (content_sha256) WHERE d.reason = 'syntax' GROUP BY 1
"""


def section(run: RunFolder) -> Section:
    db = run.tables("syntax", "contents")
    rows = db.sql(_BY_LANGUAGE)
    chosen = run.has("decisions")
    dropped = {row["language"]: row["n"] for row in db.sql(_DROPPED)} if chosen else {}
    parsed, wrong = sum(r["parsed"] for r in rows), sum(r["with_error"] for r in rows)
    facts = Figures(
        [
            Fact(f"{parsed:,}", "contents parsed"),
            Fact(f"{sum(r['functions'] for r in rows):,}", "functions"),
            Fact(f"{sum(r['lines'] for r in rows) / 1e6:.2f} M", "lines"),
            Fact(f"{sum(r['gave_up'] for r in rows):,}", "parser gave up"),
        ]
    )
    cells = []
    for row in rows[:SHOWN]:
        share = f"{row['with_error'] / row['parsed']:.1%}" if row["parsed"] else "no parser"
        cells.append(
            [
                row["language"],
                f"{row['files']:,}",
                share,
                f"{row['mean_share']:.2%}" if row["parsed"] else "",
                f"{row['gave_up']:,}",
                *([f"{dropped.get(row['language'], 0):,}"] if chosen else []),
            ]
        )
    head = [
        "language",
        "contents",
        "with any error",
        "bytes in error",
        "gave up",
        *(["dropped"] if chosen else []),
    ]
    caption = (
        "Any error at all is common in real C, C++ and templates, so the rule looks at the share "
        "of bytes in error."
    )
    if len(rows) > SHOWN:
        rest = sum(row["files"] for row in rows[SHOWN:])
        unshown = f"{len(rows) - SHOWN} more languages with {rest:,} contents are not shown."
        caption = f"{unshown} {caption}"
    table = Table(head, cells, frozenset(range(1, 6)), "Errors by language", caption)
    lead = f"{wrong / max(parsed, 1):.1%} of the parsed contents hold some syntax error."
    if chosen:
        lead += f" {sum(dropped.values()):,} hold too much and were dropped for it."
    return Section(
        "syntax",
        "Syntax",
        lead,
        [facts, table],
        "syntax, contents" + (", decisions" if chosen else ""),
    )
