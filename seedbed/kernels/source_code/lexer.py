"""A lexer that knows comment marks, quotes and identifiers, for the structural scan.

It needs no grammar. That is enough for shares of a file, and cheap enough for a whole corpus. All
functions are compiled kernels over data[at:end], where data is uint8, UTF-8 bytes; positions are
indices into data. A style is one of lexis.SLASH to lexis.PLAIN.
"""

from __future__ import annotations

import numpy as np

from seedbed.kernels.native import native
from seedbed.kernels.source_code import lexis

CLASSES = lexis.byte_classes()
_BASIS, _PRIME = np.uint64(lexis.FNV_BASIS), np.uint64(lexis.FNV_PRIME)
_LOW = np.uint64(1023)
_LETTER, _DIGIT, _UNDERSCORE, _HIGH = lexis.LETTER, lexis.DIGIT, lexis.UNDERSCORE, lexis.HIGH
_SLASH, _HASH, _DASH, _PERCENT = lexis.SLASH, lexis.HASH, lexis.DASH, lexis.PERCENT
_SEMICOLON, _BLOCK, _MARKUP = lexis.SEMICOLON, lexis.BLOCK, lexis.MARKUP


@native
def is_word(kind: int) -> bool:
    """Whether bytes of this class belong to words."""
    return kind in (_LETTER, _DIGIT, _UNDERSCORE, _HIGH)


@native
def word_end(data: np.ndarray, at: int, end: int) -> tuple[int, np.uint64]:
    """Position after the identifier at `at`, and its FNV-1a hash."""
    value = _BASIS
    while at < end and is_word(CLASSES[data[at]]):
        value = (value ^ np.uint64(data[at])) * _PRIME
        at += 1
    return at, value


@native
def family(keys: np.ndarray, columns: np.ndarray, value: np.uint64) -> int:
    """Column of the word family that holds the hash `value`, or -1; tables of lexis.hash_table."""
    slot = np.int64(value & _LOW)
    while keys[slot] != 0:
        if keys[slot] == value:
            return columns[slot]
        slot = (slot + 1) & 1023
    return -1


@native
def comment_end(data: np.ndarray, at: int, end: int, style: int) -> int:
    """Position after the comment that opens at `at`, or 0 where none opens.

    A line comment ends before its newline.
    """
    byte = data[at]
    following = data[at + 1] if at + 1 < end else 0
    if (
        (style == _SLASH and byte == 47 and following == 47)
        or (style == _HASH and byte == 35)
        or (style == _DASH and byte == 45 and following == 45)
        or (style == _PERCENT and byte == 37)
        or (style == _SEMICOLON and byte == 59)
    ):
        while at < end and data[at] != 10:
            at += 1
        return at
    if (style in (_SLASH, _BLOCK)) and byte == 47 and following == 42:
        at += 4
        while at <= end and not (data[at - 2] == 42 and data[at - 1] == 47):
            at += 1
        return min(at, end)
    if (
        style == _MARKUP
        and byte == 60
        and following == 33
        and at + 3 < end
        and data[at + 2] == 45
        and data[at + 3] == 45
    ):
        at += 7
        while at <= end and not (data[at - 3] == 45 and data[at - 2] == 45 and data[at - 1] == 62):
            at += 1
        return min(at, end)
    return 0


@native
def is_doc_comment(data: np.ndarray, at: int, after: int) -> bool:
    """Whether the comment data[at:after] has the mark of a documentation tool.

    The marks are /** /*! /// //! (Javadoc, Doxygen, rustdoc, C#, Swift), #' (roxygen2), and --- and
    -- | (LDoc, Haddock).
    """
    if after - at < 4:
        return False
    first, second, third = data[at], data[at + 1], data[at + 2]
    if first == 47 and second == 42:
        return (third == 42 and data[at + 3] != 47) or third == 33
    if first == 47 and second == 47:
        return (third == 47 and data[at + 3] != 47) or third == 33
    if first == 45 and second == 45:
        return (third == 45 and data[at + 3] != 45) or (third == 32 and data[at + 3] == 124)
    return first == 35 and second == 39


@native
def string_end(data: np.ndarray, at: int, end: int) -> int:
    """Position after the string that opens at `at`.

    A newline ends a string that is left open, except one between backticks, which may span lines.
    """
    quote = data[at]
    at += 1
    while at < end:
        # A backslash escapes the next byte.
        if data[at] == 92:
            at += 2
            continue
        if data[at] == quote:
            return at + 1
        if data[at] == 10 and quote != 96:
            return at
        at += 1
    return end


@native
def triple_end(data: np.ndarray, at: int, end: int) -> int:
    """Position after the triple-quoted string at `at`, or `end` where it is left open."""
    quote = data[at]
    at += 3
    while at + 2 < end:
        if data[at] == 92:
            at += 2
            continue
        if data[at] == quote and data[at + 1] == quote and data[at + 2] == quote:
            return at + 3
        at += 1
    return end
