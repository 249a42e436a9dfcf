"""The licence head against a slow reading of its definition, over heads of any shape."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.kernels.near_dup.license_head import license_end

LINE = ("//", "--", ";", "%")
BLOCKS = {"/*": "*/", "<!--": "-->", "(*": "*)", "{-": "-}", "{#": "#}", "<?xml": "?>"}
WORD = re.compile("copyright|licence|license|spdx-", re.IGNORECASE | re.ASCII)


def comment(text: str) -> tuple[str, bool] | None:
    """(the comment that `text` begins with, whether it is a line comment); None without one."""
    line = text.split("\n", 1)[0]
    # The order of the definition: a hash before a block that begins with another mark.
    if text.startswith("//"):
        return line, True
    if text.startswith("#"):
        return None if re.match("[A-Za-z]", text[1:2]) else (line, True)
    if text.startswith(LINE):
        return line, True
    for opening, closing in BLOCKS.items():
        if text.startswith(opening):
            end = text.find(closing, len(opening))
            return None if end < 0 else (text[: end + len(closing)], False)
    return None


def plain(text: str) -> str:
    """What is left of a text without its licence head."""
    rest = text.removeprefix("\ufeff")
    # (what is left behind a comment, whether that comment belongs to one that mentions a licence)
    cut, block_has_word, line_before = text, False, False
    while True:
        blank = re.match(r"[ \t-\r]*", rest)[0]
        rest = rest[len(blank) :]
        if rest.startswith("<?php"):
            rest, line_before = rest[5:], False
            continue
        found = comment(rest)
        if found is None:
            return cut
        said, is_line = found
        continues = is_line and line_before and blank.count("\n") < 2
        block_has_word = bool(WORD.search(said)) or (continues and block_has_word)
        rest = rest[len(said) :]
        if block_has_word:
            cut = rest
        line_before = is_line


PIECES = (
    "#", "# ", "//", "-- ", ";", "% ", "/*", "*/", "<!--", "-->", "(*", "*)", "{-", "-}", "{#",
    "#}", "<?xml", "?>", "<?php", "\ufeff", "Copyright 2020", "LICENCE", "licens", "SPDX-", "copy",
    "right", "\n", "\n\n", " ", "\t", "\r\n", "\x0b", "x = 1", "#include", "é", "code", "\n# ",
    "\n// ",
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.integers(0, 3))
def test_the_head_is_cut_where_its_slow_reading_cuts_it(text: str, before: int) -> None:
    raw = text.encode()
    # Another document stands before and behind it in the same buffer.
    data = np.frombuffer(b"# Copyright\n"[:before] + raw + b"*/-->\n# license", np.uint8)
    end = license_end(data, before, before + len(raw))
    assert raw[end - before :].decode() == plain(text)
