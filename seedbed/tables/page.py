"""The page docs/tables.md, made from the catalogue and the reasons to drop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from seedbed.tables import reasons
from seedbed.tables.catalog import CURATE_TABLES, OTHER_TABLES, TABLES, TableSpec

_HEAD = """\
# The tables

This page is made from `seedbed/tables/catalog.py` and `seedbed/tables/reasons.py` by
`python -m seedbed.tables > docs/tables.md`. A test holds it current.

Content is stored once. What the pipeline learns about it are narrow rows, keyed by its SHA-256. All
tables are Delta tables in `DIR/tables/<table>`. Tables with the partition `shard` are partitioned
by the leading bits of the content hash: a shard is the unit of work, of resume and of join.
"""
_REASONS = """\
Each file has one first reason. Ingest writes those of files to `files.drop_reason`,
`select_documents` those of contents to `decisions.reason`, with the figures that decided in
`decisions.detail`. The conditions are SQL that Spark (`select_documents`) and DuckDB (`whatif`)
both take; `policy` holds the settings of the config section `select`.
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = [
        _HEAD,
        "## The curate line, in the order of the graph\n",
        _overview(CURATE_TABLES),
        "## Beside the curate line\n",
        _overview(OTHER_TABLES),
        "## Columns\n",
        *[_columns(spec) for spec in TABLES.values()],
        "## Reasons to drop\n",
        _REASONS,
        "### Files, at ingest\n",
        _table(("reason", "meaning"), ((_code(r.name), r.meaning) for r in reasons.FILE_REASONS)),
        f"A file whose content is known already counts as `{reasons.DUPLICATE_EXACT.name}`.\n",
        "### Contents, in the order in which they are checked\n",
        _table(
            ("reason", "meaning", "condition"),
            ((_code(r.name), r.meaning, _code(r.condition)) for r in reasons.CONTENT_REASONS),
        ),
    ]
    return "\n".join(parts)


def _overview(names: Iterable[str]) -> str:
    specs = [TABLES[name] for name in names]
    rows = [(f"[`{s.name}`](#{s.name})", _list(s.key), s.writer, s.row) for s in specs]
    return _table(("table", "key", "written by", "what a row says"), rows)


def _columns(spec: TableSpec) -> str:
    about = f"Key: {_list(spec.key)}."
    if spec.partitions:
        about += f" Partitioned by {_list(spec.partitions)}."
    if spec.added:
        about += f" Tables of earlier versions lack {_list(spec.added)}, which read as null."
    rows = ((_code(name), _code(kind)) for name, kind in spec.fields)
    return f"### {spec.name}\n\n{spec.row}\n\n{about}\n\n{_table(('column', 'type'), rows)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(_code, names))


def _code(text: str) -> str:
    return f"`{text}`"
