"""What a section is made of. Plain text everywhere, escaped by the template; only `Markup` fields
are HTML, made by report/svg.py and report/highlight.py, which escape what they are given.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup


@dataclass(frozen=True)
class Fact:
    """One figure in large type with its name below."""

    value: str
    label: str


@dataclass(frozen=True)
class Facts:
    items: list[Fact]
    kind: str = "facts"


@dataclass(frozen=True)
class Bar:
    """A horizontal bar cut into `parts`: (share of the full width 0-1, colour class, tooltip)."""

    label: str
    parts: list[tuple[float, str, str]]
    value: str = ""
    note: str = ""


@dataclass(frozen=True)
class Bars:
    title: str
    bars: list[Bar]
    # (colour class, name)
    legend: list[tuple[str, str]] = field(default_factory=list)
    caption: str = ""
    kind: str = "bars"


@dataclass(frozen=True)
class Table:
    """`numeric` columns are set right; a cell may be Markup."""

    head: list[str]
    rows: list[list[str]]
    numeric: frozenset[int] = frozenset()
    title: str = ""
    caption: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Chart:
    title: str
    svg: Markup
    legend: list[tuple[str, str]] = field(default_factory=list)
    caption: str = ""
    kind: str = "chart"


@dataclass(frozen=True)
class Code:
    """Source text, highlighted or as a diff; `facts` stand in its head line."""

    title: str
    html: Markup
    facts: list[str] = field(default_factory=list)
    # good | bad | diff
    tone: str = ""
    kind: str = "code"


@dataclass(frozen=True)
class Note:
    """A sentence; with `command`, what to run."""

    text: str
    command: str = ""
    kind: str = "note"


@dataclass(frozen=True)
class Row:
    """Blocks side by side where the screen is wide enough."""

    blocks: list[Chart | Bars | Code | Table]
    kind: str = "row"


Block = Facts | Bars | Table | Chart | Code | Note | Row


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    # the finding, in one or two sentences
    lead: str
    blocks: list[Block]
    # tables and files that it was read from
    source: str = ""
