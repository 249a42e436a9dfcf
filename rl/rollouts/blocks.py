"""The pieces of a reply that may be code: fenced blocks, and code that stands in prose. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rl.rollouts.python_text import PythonText, Reader, dedented, looks_like_code
from seedbed.inference import markdown
from seedbed.inference.markdown import Fence

# Blocks of one reply. A reply of a million fences is no answer.
_MOST = 400
# Closing lines of one block that are tried, where the first leaves text that does not parse.
_CLOSINGS = 24
# Places in prose where code is tried to begin, and cuts of the text behind each.
_STARTS, _CUTS = 64, 32
_WORD = re.compile(r"[{.]*(?:lang(?:uage)?-)?([\w+#./-]*)")
_PYTHON = re.compile(r"[ci]?py(?:thon)?[0-9.]*|tool_code|[\w./-]+\.py", re.IGNORECASE)
_MARKDOWN = {"markdown", "md"}
# What makes the rest of an info line code, and no attribute.
_CODE = re.compile(
    r"(?:async|def|class|import|from|for|while|if|with|try|print|return|assert|lambda)\b"
    r"|@?\w+\(|\w+ = |#!"
)
# ```python print(1)``` on one line. Possessive marks: a line of thousands would take minutes.
_ONE_LINE = re.compile(
    r"[ \t]*(?P<marks>`{3,}+|~{3,}+)(?:(?P<word>[\w+#.-]+)[ \t]+)?(?P<code>.+?)(?P=marks)[ \t]*"
)
_TAG_LINE = re.compile(r"</?(?:code|answer|solution|pre|python|response|output)\b[^<>\n]{0,80}>")
_BEGINS = re.compile(r"(?:[A-Za-z_@#(\[{]|\"\"\"|'''|\"|')")


@dataclass(frozen=True)
class Block:
    """A piece of a reply.

    kind: `python` or `plain` (without a label) for fenced blocks, `other` for fenced blocks of
    another language, `prose` for code between the blocks. source: the piece as Python, where it is
    a program. label: the first word behind the fence.
    """

    kind: str
    text: str
    source: PythonText | None
    label: str = ""

    @property
    def is_code(self) -> bool:
        """Whether it is fenced and meant as Python, be it with errors in it."""
        if self.kind == "plain":
            return self.source is not None or looks_like_code(self.text)
        return self.kind == "python" and bool(self.text.strip())


def blocks(text: str, reader: Reader) -> list[Block]:
    """All pieces of a reply that may be code, in order."""
    lines = text.split("\n")
    found: list[Block] = []
    prose: list[str] = []
    at = 0
    while at < len(lines) and len(found) < _MOST:
        one = _ONE_LINE.fullmatch(lines[at])
        fence = None if one else markdown.opening(lines[at])
        if one and (source := reader.program(one["code"].strip())):
            found += [
                *_in_prose(prose, reader),
                Block(_kind(one["word"] or ""), source.text, source),
            ]
            prose = []
        elif fence is None or _kind(_label(fence.info)[0]) == "markdown":
            prose.append(lines[at])
        else:
            found += _in_prose(prose, reader)
            prose = []
            block, end = _block(lines, at, fence, reader)
            if block.source is None and _holds_python(block):
                # A fence around fences.
                at += 1
                continue
            found.append(block)
            at = end
            continue
        at += 1
    return found + _in_prose(prose, reader)


def _block(lines: Sequence[str], at: int, fence: Fence, reader: Reader) -> tuple[Block, int]:
    """The block that a fence opens at a line, and the line that follows it.

    Code may quote a fence. So the first closing line counts that leaves a program, and where none
    does, the first that is indented as its block.
    """
    word, first = _label(fence.info)
    kind = _kind(word)
    head = [first] if first else []
    ends: list[int] = []
    for number in range(at + 1, len(lines)):
        if markdown.closing(lines[number], fence) or (
            kind != "other" and _reopens(lines[number], fence)
        ):
            ends.append(number)
        if len(ends) == _CLOSINGS or (kind == "other" and ends):
            break
    for end in ends if kind != "other" else ():
        text = _content([*head, *lines[at + 1 : end]], fence)
        if text.strip() and (source := reader.program(text)):
            # A line that opens another block is no part of this one.
            closed = markdown.closing(lines[end], fence)
            return Block(kind, source.text, source, word), end + 1 if closed else end
    closings = [end for end in ends if markdown.closing(lines[end], fence)]
    placed = [end for end in closings if markdown.well_placed(lines[end], fence)]
    for end in (placed or closings)[:1]:
        text = _content([*head, *lines[at + 1 : end]], fence)
        source = reader.program(text) if kind == "other" else None
        return Block(kind, text, source, word), end + 1
    text = _content([*head, *lines[at + 1 :]], fence).rstrip("\n") + "\n"
    stripped = text.rstrip()
    if stripped.endswith(fence.marks):
        text = stripped[: -len(fence.marks)].rstrip() + "\n"
    source = reader.program(text)
    if source is None and kind != "other":
        # Nothing closes it, so prose may follow the program.
        source = _longest(_in_prose(text.split("\n"), reader))
    return Block(kind, source.text if source else text, source, word), len(lines)


def _holds_python(block: Block) -> bool:
    fences = map(markdown.opening, block.text.split("\n"))
    return any(fence is not None and _kind(_label(fence.info)[0]) == "python" for fence in fences)


def _reopens(line: str, fence: Fence) -> bool:
    other = markdown.opening(line)
    return other is not None and bool(other.info) and other.marks[0] == fence.marks[0]


def _content(lines: Sequence[str], fence: Fence) -> str:
    if ">" in fence.lead:
        lines = [re.sub(r"^[ \t]*>[ \t]?", "", line) for line in lines]
    text = "\n".join(lines) + "\n" if lines else ""
    margin = len(fence.lead)
    if margin and any(line.strip() and not line[:margin].isspace() for line in lines):
        # Lines that stand left of their list keep what they have.
        return "\n".join(_unindented(line, margin) for line in lines) + "\n"
    return dedented(text)


def _unindented(line: str, margin: int) -> str:
    blanks = len(line) - len(line.lstrip(" \t"))
    return line[min(blanks, margin) :]


def _label(info: str) -> tuple[str, str]:
    """(word, code) of an info line: its language, and a first line of code behind it."""
    found = _WORD.match(info)
    word = found[1] if found else ""
    rest = info[len(found[0]) if found else 0 :].strip()
    return word, rest if word and _CODE.match(rest) else ""


def _kind(word: str) -> str:
    if not word:
        return "plain"
    if word.lower() in _MARKDOWN:
        return "markdown"
    return "python" if _PYTHON.fullmatch(word) else "other"


def _in_prose(lines: Sequence[str], reader: Reader) -> list[Block]:
    """The programs among lines of prose, in order, each as long as it parses."""
    text = _TAG_LINE.sub("\n", "\n".join(lines))
    if not text.strip():
        return []
    lines = dedented(text).split("\n")
    found: list[Block] = []
    at = tries = 0
    while at < len(lines) and tries < _STARTS:
        if not _BEGINS.match(lines[at]):
            at += 1
            continue
        size, source = _run(lines[at:], reader)
        tries += 1
        trimmed = reader.program(source.without_words) if source is not None else None
        if trimmed is not None:
            found.append(Block("prose", trimmed.text, trimmed))
        at += max(size, 1)
    return found


def _run(lines: Sequence[str], reader: Reader) -> tuple[int, PythonText | None]:
    """How many of the lines parse from the first on, and what they say.

    A statement begins at the margin. So what is left out begins with the last such line that the
    parser had reached.
    """
    end = len(lines)
    for _ in range(_CUTS):
        text = "\n".join(lines[:end]) + "\n"
        source = reader.parse(text)
        if source is not None:
            return end, source
        end = min(reader.failed_at(text) - 1, end - 1)
        while end > 0 and not lines[end][:1].strip():
            end -= 1
        if end <= 0:
            break
    return 0, None


def _longest(found: Sequence[Block]) -> PythonText | None:
    sources = [block.source for block in found if block.source]
    return max(sources, key=lambda source: len(source.text), default=None)
