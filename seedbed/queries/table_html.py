"""HTML of small tables, as a notebook shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def table_html(head: Sequence[str], rows: Iterable[Sequence[Any]], note: str = "") -> str:
    """An HTML table; whole numbers get thousands separators, and everything is escaped."""
    lines = ["<table><thead>", _line("th", head), "</thead><tbody>"]
    lines += [_line("td", row) for row in rows]
    return "\n".join([*lines, "</tbody></table>", f"<p>{escape(note)}</p>" if note else ""])


def _line(tag: str, cells: Sequence[Any]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(_cell(cell))}</{tag}>' for cell in cells)}</tr>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if type(value) is int else str(value)
