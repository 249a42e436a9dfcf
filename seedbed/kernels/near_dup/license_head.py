"""Finds where a file's text begins once the licence comment at its head is removed.

A licence is most of a small file and says nothing about its code. With it, two short files of one
project would be near duplicates whatever they hold.

The head is all that stands before the first byte of code: blank lines, line comments and block
comments. It is cut after its last comment that mentions a licence (copyright, licence, license or
SPDX, in any case). Comment lines with no blank line between them are one comment. A head without
such a word stays whole.

Comment marks need no language, since only comments can stand at the head. Line comments are `//`,
`--`, `;`, `%`, and `#` unless a letter follows (#include). Blocks are `/* */`, `<!-- -->`, `(* *)`,
`{- -}` and `{# #}`. An XML declaration and `<?php` are skipped. A docstring is not a comment, so it
stays.
"""

from __future__ import annotations

import numpy as np

from seedbed.kernels.native import native

WORDS = tuple(
    np.frombuffer(word, np.uint8) for word in (b"copyright", b"licence", b"license", b"spdx-")
)
# (opening mark, closing mark). An empty closing mark stands for the end of the line.
COMMENTS = tuple(
    (np.frombuffer(opening, np.uint8), np.frombuffer(closing, np.uint8))
    for opening, closing in (
        (b"//", b""),
        (b"#", b""),
        (b"--", b""),
        (b";", b""),
        (b"%", b""),
        (b"/*", b"*/"),
        (b"<!--", b"-->"),
        (b"(*", b"*)"),
        (b"{-", b"-}"),
        (b"{#", b"#}"),
        (b"<?xml", b"?>"),
    )
)
PHP = np.frombuffer(b"<?php", np.uint8)
BOM = np.frombuffer(b"\xef\xbb\xbf", np.uint8)
NEWLINE = np.uint8(10)


def license_end(data: np.ndarray, start: int, end: int) -> int:
    """Index of the first byte of data[start:end] after its licence head.

    data: uint8, UTF-8 bytes. Returns `start` where the text has no licence head.
    """
    return int(license_end_native(data, start, end))


@native
def _starts(data, at, end, mark):  # type: ignore[no-untyped-def]
    """Whether `mark` stands at `at`."""
    same = at + mark.shape[0] <= end
    i = 0
    while same and i < mark.shape[0]:
        same = data[at + i] == mark[i]
        i += 1
    return same


@native
def _find(data, at, end, mark):  # type: ignore[no-untyped-def]
    """The first index, from `at`, at which `mark` stands; `end` where there is none."""
    while at < end and not _starts(data, at, end, mark):
        at += 1
    return at


@native
def _mentions_license(data, at, end):  # type: ignore[no-untyped-def]
    """Whether one of WORDS stands in data[at:end], in any case."""
    while at < end:
        lower = data[at] | np.uint8(32)
        # The words begin with c, l or s.
        if lower == 99 or lower == 108 or lower == 115:
            for word in WORDS:
                same = at + word.shape[0] <= end
                i = 0
                while same and i < word.shape[0]:
                    same = (data[at + i] | np.uint8(32)) == word[i]
                    i += 1
                if same:
                    return True
        at += 1
    return False


@native
def _comment_end(data, at, end):  # type: ignore[no-untyped-def]
    """(index after the comment at `at`, whether it is a line comment).

    Returns (`at`, False) where no comment begins.
    """
    for opening, closing in COMMENTS:
        if not _starts(data, at, end, opening):
            continue
        after = at + opening.shape[0]
        if closing.shape[0]:
            found = _find(data, after, end, closing)
            if found == end:
                # The block is never closed.
                return at, False
            return found + closing.shape[0], False
        # A letter follows `#`: a directive such as #include or #define.
        if opening[0] == 35 and after < end and 97 <= (data[after] | np.uint8(32)) <= 122:
            return at, False
        while after < end and data[after] != NEWLINE:
            after += 1
        return after, True
    return at, False


@native
def license_end_native(data, start, end):  # type: ignore[no-untyped-def]
    """Compiled form of `license_end`, for other kernels."""
    at = start + BOM.shape[0] if _starts(data, start, end, BOM) else start
    cut = start
    # The comment before was a line comment, which the next line may continue.
    after_line = False
    # The current comment has mentioned a licence.
    licensed = False
    while True:
        newlines = 0
        while at < end and (data[at] == 32 or 9 <= data[at] <= 13):
            newlines += data[at] == NEWLINE
            at += 1
        if _starts(data, at, end, PHP):
            at += PHP.shape[0]
            after_line = False
            continue
        after, is_line = _comment_end(data, at, end)
        if after == at:
            return cut
        goes_on = is_line and after_line and newlines < 2
        licensed = (licensed and goes_on) or _mentions_license(data, at, after)
        if licensed:
            cut = after
        at, after_line = after, is_line
