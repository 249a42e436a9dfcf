"""The blocks that a section is made of.

All fields are plain text, which the template escapes, but for `Markup` fields. Those are HTML from
report/svg.py and report/highlight.py, which escape what they are given.
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
class Figures:
    """A line of facts."""

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
    """Horizontal bars below each other. legend: (colour class, name) of each colour."""

    title: str
    bars: list[Bar]
    legend: list[tuple[str, str]] = field(default_factory=list)
    caption: str = ""
    kind: str = "bars"


@dataclass(frozen=True)
class Table:
    """Rows of cells. `numeric` columns are aligned right; a cell may be Markup."""

    head: list[str]
    rows: list[list[str]]
    numeric: frozenset[int] = frozenset()
    title: str = ""
    caption: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Chart:
    """A drawing of report/svg.py. legend: (colour class, name) of each colour."""

    title: str
    svg: Markup
    legend: list[tuple[str, str]] = field(default_factory=list)
    caption: str = ""
    kind: str = "chart"


@dataclass(frozen=True)
class Code:
    """Source text, highlighted or as a diff; `facts` stand in its head line.

    tone: "good", "bad", "diff" or "".
    """

    title: str
    html: Markup
    facts: list[str] = field(default_factory=list)
    tone: str = ""
    kind: str = "code"


@dataclass(frozen=True)
class Note:
    """A sentence; with `command`, what to run."""

    text: str
    command: str = ""
    kind: str = "note"


@dataclass(frozen=True)
class SideBySide:
    """Blocks side by side where the screen is wide enough."""

    blocks: list[Chart | Bars | Code | Table]
    kind: str = "row"


Block = Figures | Bars | Table | Chart | Code | Note | SideBySide


@dataclass(frozen=True)
class Section:
    """A section of the page.

    lead: the finding, in one or two sentences; "" where the data is missing.
    source: the tables and files that it was read from.
    """

    id: str
    title: str
    lead: str
    blocks: list[Block]
    source: str = ""
