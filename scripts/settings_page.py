"""The page of settings: a hook of mkdocs that makes tables from the dataclasses in conf/schema.

A field's row has its name, type and default, and the comment that stands above it in the source.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[1] / "conf" / "schema"
MARK = "<!-- made from conf/schema -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts the tables in place of the mark, on the page that holds it."""
    return markdown.replace(MARK, "\n".join(tables())) if MARK in markdown else markdown


def tables() -> Iterator[str]:
    """Markdown lines: one section per module of conf/schema, one table per dataclass."""
    for path in sorted(SCHEMA.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        if not classes:
            continue
        name = ".".join(path.relative_to(SCHEMA).with_suffix("").parts)
        yield from (f"## {name}", "", ast.get_docstring(tree) or "", "")
        for node in classes:
            yield from _table(node, source)


def _table(node: ast.ClassDef, source: str) -> Iterator[str]:
    bases = [ast.unparse(base) for base in node.bases]
    yield from (f"### {node.name}", "", ast.get_docstring(node) or "", "")
    if bases:
        yield from (f"With all fields of {', '.join(bases)}.", "")
    yield from ("| field | type | default | |", "|---|---|---|---|")
    for field in node.body:
        if isinstance(field, ast.AnnAssign):
            kind = ast.unparse(field.annotation)
            default = f"`{_value(field.value)}`" if field.value else "required"
            words = [f"`{ast.unparse(field.target)}`", f"`{kind}`", default]
            row = [*words, comment_above(source, field.lineno)]
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _value(node: ast.expr) -> str:
    """A default as a user would write it: `field(default_factory=list)` is `list()`."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "field":
        made = node.keywords[0].value
        if isinstance(made, ast.Lambda):
            return ast.unparse(made.body)
        return f"{ast.unparse(made)}()"
    return ast.unparse(node)


def comment_above(source: str, line: int) -> str:
    """The comment, as HTML, that ends on the line before `line` (counted from 1)."""
    lines = source.splitlines()
    found: list[str] = []
    at = line - 2
    while at >= 0 and lines[at].strip().startswith("#"):
        found.insert(0, lines[at].strip().lstrip("# "))
        at -= 1
    return escape(" ".join(found), quote=False)
