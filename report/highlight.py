"""Source text from the data as HTML: highlighted and clipped, or as a diff.

It is escaped, and no character in it stays invisible.
"""

from __future__ import annotations

import difflib
import re

from markupsafe import Markup, escape
from pygments import format as format_tokens
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_for_filename
from pygments.lexers.special import TextLexer
from pygments.token import Comment
from pygments.util import ClassNotFound

MAX_LINES, MAX_COLUMNS = 24, 140
# A leading comment is looked for in so many lines.
HEAD_LINES = 120
# Control characters but newline and tab, and the bidirectional overrides, by which source can look
# different from what it runs.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def visible(text: str) -> str:
    """The text with U+FFFD for every character that would not show, or would reorder others."""
    return _HIDDEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\t", "    "))


def source(text: str, path: str, max_lines: int = MAX_LINES) -> Markup:
    """The first lines of a file, highlighted by its name.

    Its leading comment, which mostly is a license, is left out.
    """
    lexer = _lexer(path)
    lines = _lines(text)
    head = _leading_comment("\n".join(lines[:HEAD_LINES]), lexer)
    shown = "\n".join(_cut(line) for line in lines[head : head + max_lines])
    html = format_tokens(lexer.get_tokens(shown), HtmlFormatter(nowrap=True)).rstrip("\n")
    return Markup("\n").join(
        [
            *_left_out(head, "lines of comment"),
            Markup(html),
            *_left_out(len(lines) - head - max_lines, "more lines"),
        ]
    )


def python(text: str, max_lines: int = MAX_LINES) -> Markup:
    """Python that has no file name, such as a completion."""
    return source(text, "completion.py", max_lines)


def unified_diff(a: str, b: str, context: int = 3, max_lines: int = 60) -> Markup:
    """What turns `a` into `b`, line by line, with `context` lines around each change."""
    diff = difflib.unified_diff(_lines(a), _lines(b), n=context, lineterm="")
    # The first two lines name the files.
    body = list(diff)[2:]
    kinds = {"+": "add", "-": "del", "@": "hunk"}
    out = []
    for line in body[:max_lines]:
        out.append(
            f'<span class="{kinds.get(line[:1], "same")}">{escape(_cut(line)) or " "}</span>'
        )
    out += _left_out(len(body) - max_lines, "more lines")
    return Markup("".join(out))


def _lines(text: str) -> list[str]:
    return visible(text).rstrip("\n").split("\n")


def _cut(line: str) -> str:
    return line if len(line) <= MAX_COLUMNS else line[: MAX_COLUMNS - 1] + "…"


def _left_out(lines: int, what: str) -> list[Markup]:
    return (
        [Markup('<span class="hunk">… {} {}</span>').format(f"{lines:,}", what)]
        if lines > 0
        else []
    )


def _leading_comment(text: str, lexer: Lexer) -> int:
    """The number of lines at the start that hold comments and blanks alone.

    It is 0 where nothing else follows.
    """
    lines = 0
    for token, value in lexer.get_tokens(text):
        if value.strip() and token not in Comment:
            return lines
        lines += value.count("\n")
    return 0


def _lexer(path: str) -> Lexer:
    try:
        return get_lexer_for_filename(path, stripnl=False)
    except ClassNotFound:
        return TextLexer(stripnl=False)
