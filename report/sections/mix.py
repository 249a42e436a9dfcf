"""Languages and licenses: what was seen against what was kept."""

from __future__ import annotations

from typing import Any

from report.blocks import Bar, Bars, Section, SideBySide
from report.run import RunFolder
from seedbed.tables.reader import DeltaReader

SHOWN = 12

# The license of a content is that of its first copy, where select_documents places it.
_SEEN = """
SELECT arg_min(coalesce(language, 'unknown'), doc_id) AS language,
       arg_min(coalesce(license, 'unknown'), doc_id) AS license,
       content_sha256, max(bytes) AS bytes
FROM files WHERE drop_reason IS NULL GROUP BY content_sha256
"""
_COUNTS = {
    column: f"""
SELECT s.{column} AS name, count(*) AS seen, count(d.sha) AS kept, sum(s.bytes)::BIGINT AS bytes
FROM ({_SEEN}) s LEFT JOIN kept d ON d.sha = s.content_sha256
GROUP BY 1 ORDER BY seen DESC, name"""
    for column in ("language", "license")
}
_KEPT = "SELECT unnest([p.content_sha256 FOR p IN parts]) AS sha FROM documents"
_NONE_KEPT = "SELECT NULL::VARCHAR AS sha WHERE false"


def section(run: RunFolder) -> Section:
    db = run.tables("files")
    chosen = run.has("documents")
    languages, licences = (_counts(db, column, chosen) for column in ("language", "license"))
    first = languages[0]
    whole = sum(row["seen"] for row in languages)
    lead = (
        f"{len(languages)} languages; {first['name']} is {first['seen'] / whole:.0%} of {whole:,} "
        "distinct files seen."
    )
    unknown = next((row for row in licences if row["name"] == "unknown"), None)
    if unknown:
        lead += f" The licence of {unknown['seen'] / whole:.0%} is unknown."
    source = "files, documents" if chosen else "files"
    return Section(
        "mix",
        "Languages and licences",
        lead,
        [SideBySide([_bars("Languages", languages, chosen), _bars("Licences", licences, chosen)])],
        source,
    )


def _counts(db: DeltaReader, column: str, chosen: bool) -> list[dict[str, Any]]:
    return db.sql(f"WITH kept AS ({_KEPT if chosen else _NONE_KEPT}) {_COUNTS[column]}")


def _bars(title: str, rows: list[dict[str, Any]], chosen: bool) -> Bars:
    shown = rows[:SHOWN]
    if len(rows) > SHOWN:
        rest = rows[SHOWN:]
        shown = [
            *shown,
            {
                "name": f"{len(rest)} more",
                **{k: sum(r[k] for r in rest) for k in ("seen", "kept", "bytes")},
            },
        ]
    widest = max(row["seen"] for row in shown)
    bars = []
    for row in shown:
        left_out = row["seen"] - row["kept"]
        if chosen:
            parts = [
                (row["kept"] / widest, "c1", f"{row['kept']:,} kept"),
                (left_out / widest, "c1 pale", f"{left_out:,} seen and not kept"),
            ]
            value, note = (
                f"{row['kept']:,} of {row['seen']:,}",
                f"{row['bytes'] / 1e6:.1f} MB, {row['kept'] / row['seen']:.0%} kept",
            )
        else:
            parts, value = (
                [(row["seen"] / widest, "c1 pale", f"{row['seen']:,} seen")],
                f"{row['seen']:,}",
            )
            note = f"{row['bytes'] / 1e6:.1f} MB"
        bars.append(Bar(row["name"], parts, value, note))
    legend = [("c1", "kept"), ("c1 pale", "seen, not kept")] if chosen else [("c1 pale", "seen")]
    return Bars(title, bars, legend, "Distinct contents, largest first.")
