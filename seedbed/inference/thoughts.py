"""Where the thoughts of a reply begin and end. Pure.

The tags are those of DeepSeek-R1, Qwen3 and others: <think>, the chain of thought, </think>, the
answer. Some models have names of their own for the same two tags. A tag that a program or a
sentence quotes is no tag.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from seedbed.inference import markdown
from seedbed.inference.markdown import Fence

OPEN, CLOSE = "<think>", "</think>"
# Seed-OSS writes seed:think, Magistral [THINK], OpenThinker begin_of_thought.
_TAG = re.compile(
    r"<(?P<close>/?)(?:seed:)?(?:think|thinking|thought|reasoning)>"
    r"|\[(?P<bracket>/?)THINK\]|<\|(?:begin|(?P<end>end))_of_thought\|>"
)
_QUOTES = "`'\""


@dataclass(frozen=True)
class Tag:
    """A tag at text[start:end]. closes: it ends a thought, and does not begin one."""

    start: int
    end: int
    closes: bool


def tags(text: str) -> list[Tag]:
    """The tags that begin and end thoughts, in order.

    A tag in a block of code counts only where it ends a thought that left the block open. One that
    opens counts at the start of a line. Doubled tags are all given.
    """
    if _TAG.search(text) is None:
        return []
    lines = list(_lines(text))
    # Where fence lines stand, and whether each names a language.
    fences = [(start, bool(f.info)) for start, line in lines if (f := markdown.opening(line))]
    found: list[Tag] = []
    fence: Fence | None = None
    for start, line in lines:
        if fence is None:
            fence = markdown.opening(line)
            if fence is None:
                _in_prose(start, line, found, fences)
            continue
        own = _TAG.fullmatch(line.strip())
        if own and _closes(own) and (_open(found) or (not found and _left_open(start, fences))):
            found.append(_tag(own, start + line.index(own[0])))
            fence = None
        elif markdown.closing(line, fence):
            fence = None
    return found


def is_tag(text: str) -> bool:
    """Whether a text is such a tag and nothing else."""
    return _TAG.fullmatch(text.strip()) is not None


def outside(text: str) -> str:
    """The text without its thoughts.

    Where a thought does not end, nothing of it is left. A closing tag without an opening one ends a
    thought that the chat template began.
    """
    kept, start, inside = "", 0, False
    for tag in tags(text):
        if not inside:
            kept = "" if tag.closes else kept + text[start : tag.start]
        inside, start = not tag.closes, tag.end
    return kept if inside else kept + text[start:]


def _in_prose(start: int, line: str, found: list[Tag], fences: list[tuple[int, bool]]) -> None:
    """Adds the tags of a line that is in no block."""
    for match in _TAG.finditer(line):
        before, after = line[: match.start()], line[match.end() :]
        if before[-1:] and before[-1] in _QUOTES and before[-1] == after[:1]:
            continue
        if _closes(match):
            spoken = bool(before.strip() and after.strip())
            if not _open(found) and _idle(spoken, start, bool(found), fences):
                continue
        elif before.strip() and not (found and not _TAG.sub("", before).strip()):
            continue
        found.append(_tag(match, start + match.start()))


def _idle(spoken: bool, start: int, ended: bool, fences: list[tuple[int, bool]]) -> bool:
    """Whether a closing tag at `start` that no tag opened ends nothing.

    That is a tag in the middle of a sentence (spoken) behind a thought that has ended, and one
    behind the last block of code, where a thought has ended or a sentence names it.
    """
    behind_all = bool(fences) and fences[-1][0] < start
    return (ended and spoken) or (behind_all and (ended or spoken))


def _open(found: list[Tag]) -> bool:
    return bool(found) and not found[-1].closes


def _left_open(start: int, fences: list[tuple[int, bool]]) -> bool:
    """Whether the next fence line opens a block, so that the present one was never closed."""
    later = bisect_right(fences, (start, True))
    return later < len(fences) and fences[later][1]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def _tag(match: re.Match[str], start: int) -> Tag:
    return Tag(start, start + len(match[0]), _closes(match))


def _closes(match: re.Match[str]) -> bool:
    return bool(match["close"] or match["bracket"] or match["end"])
