"""Fence lines of Markdown (CommonMark 0.31.2 Sec 4.5), as models write them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A quote or a list may stand before the marks.
_OPENS = re.compile(
    r"(?P<lead>[ \t]*(?:>[ \t]?)*(?:(?:[-*+]|[0-9]{1,9}[.)])[ \t]+)?)"
    r"(?P<marks>`{3,}|~{3,})(?P<info>.*)"
)
# A tag may follow on the line, as in "```</answer>".
_CLOSES = re.compile(r"(?P<lead>[ \t>]*)(?P<marks>`{3,}|~{3,})[ \t]*(?:</?[a-z]+>[ \t]*)*")
# Columns by which a closing fence may be indented beyond its block (CommonMark).
_INDENT = 3


@dataclass(frozen=True)
class Fence:
    """The line that opens a block. lead: what stands before the marks. info: what follows them."""

    lead: str
    marks: str
    info: str


def opening(line: str) -> Fence | None:
    """The fence that a line opens; None where it opens none.

    Marks that the same line closes again are code within a sentence.
    """
    found = _OPENS.fullmatch(line)
    if found is None:
        return None
    marks, info = found["marks"], found["info"].strip()
    if marks[0] == "`" and "`" in info:
        return None
    return Fence(found["lead"], marks, info)


def closing(line: str, fence: Fence) -> bool:
    """Whether a line may close the block: the same marks, at least as many, and nothing else."""
    found = _CLOSES.fullmatch(line.rstrip())
    if found is None:
        return False
    marks = found["marks"]
    return marks[0] == fence.marks[0] and len(marks) >= len(fence.marks)


def well_placed(line: str, fence: Fence) -> bool:
    """Whether a closing line is indented no further than CommonMark lets it be."""
    return width(line) <= width(fence.lead) + _INDENT


def width(line: str) -> int:
    """Columns before the first character that is no blank and no quote mark."""
    return len(line) - len(line.lstrip(" \t>"))
