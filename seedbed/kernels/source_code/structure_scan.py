"""Two passes over a file's bytes that count what its structure shows: its lines, then its tokens.

The lexer knows nothing of a grammar but comment marks, quotes and identifiers: enough for shares,
and cheap enough for a whole corpus. Distinct items are counted by linear counting (Whang et al.
1990) in tables that are never cleared: a slot is taken when it holds the current document's number.
"""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

import numpy as np

from seedbed.kernels.native import native
from seedbed.kernels.source_code import lexis

_LINE_COUNTS = (
    "lines", "blank_lines", "max_line", "line_sum", "line_squares", "long_line_bytes", "comment_lines", "bracket_lines",
    "distinct_lines", "distinct_shapes", "indent_sum", "indent_squares", "max_indent", "deeper_lines",
)  # fmt: skip
_TOKEN_COUNTS = (
    "bytes", "identifiers", "identifier_bytes", "single_letters", "distinct_identifiers", "numbers", "digit_bytes",
    "string_bytes", "strings", "comment_bytes", "docstring_bytes", "docstrings", "punctuation", "brackets", "upper",
    "underscores", "non_ascii", "whitespace", "calls", "comparisons", "assignments", "code_lines", "import_lines",
    "literal_lines", "assignment_lines", "distinct_grams", "grams", "entropy",
)  # fmt: skip
Counts = namedtuple(
    "Counts", _LINE_COUNTS + _TOKEN_COUNTS + tuple(lexis.KEYWORDS) + tuple(lexis.HEAD_WORDS)
)  # type: ignore[misc]
# column of each count
C: Any = Counts(*range(len(Counts._fields)))

# where generators and licences announce themselves
HEAD_BYTES = 2048
# the share of distinct 4-grams falls with length, so it is taken over a bounded head
GRAM_BYTES = 16384
# bytes: past what formatters allow
LONG_LINE = 160
# of the linear-counting table
SLOTS = 1 << 16

_CLASSES = lexis.byte_classes()
_KEYWORDS, _KEYWORD_COLUMNS = lexis.hash_table(lexis.KEYWORDS, C._asdict())
_HEAD, _HEAD_COLUMNS = lexis.hash_table(lexis.HEAD_WORDS, C._asdict())
_BASIS, _PRIME = np.uint64(lexis.FNV_BASIS), np.uint64(lexis.FNV_PRIME)
# 2**64 / golden ratio: Fibonacci hashing (Knuth 6.4)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(48)
_LOW = np.uint64(1023)
_SPACE, _LETTER, _DIGIT, _UNDERSCORE = lexis.SPACE, lexis.LETTER, lexis.DIGIT, lexis.UNDERSCORE
_BRACKET, _QUOTE, _PUNCTUATION, _HIGH, _NEWLINE = (
    lexis.BRACKET, lexis.QUOTE, lexis.PUNCTUATION, lexis.HIGH, lexis.NEWLINE,
)  # fmt: skip
_SLASH, _HASH, _DASH, _PERCENT, _SEMICOLON = (
    lexis.SLASH,
    lexis.HASH,
    lexis.DASH,
    lexis.PERCENT,
    lexis.SEMICOLON,
)
_BLOCK, _MARKUP, _PLAIN = lexis.BLOCK, lexis.MARKUP, lexis.PLAIN


@native
def scan(data: np.ndarray, offsets: np.ndarray, styles: np.ndarray) -> np.ndarray:
    """Counts (documents x len(C), float64) of UTF-8 documents data[offsets[i]:offsets[i + 1]] with
    comment style styles[i].
    """
    documents = offsets.shape[0] - 1
    out = np.zeros((documents, len(C)), np.float64)
    # lines, shapes of lines, identifiers, 4-grams
    tables = np.full((4, SLOTS), -1, np.int32)
    for d in range(documents):
        start, end = offsets[d], offsets[d + 1]
        row = out[d]
        row[C.bytes] = end - start
        _scan_lines(data, start, end, styles[d], row, tables[0], tables[1], d)
        _scan_tokens(data, start, end, styles[d], row, tables[2], d)
        _scan_bytes(data, start, end, row, tables[3], d)
    return out


@native
def _first_time(table: np.ndarray, document: int, value: np.uint64) -> int:
    """1 where the slot of the 64-bit `value` had not been taken by this `document`."""
    slot = np.int64((value * _SPREAD) >> _SHIFT)
    if table[slot] == document:
        return 0
    table[slot] = document
    return 1


@native
def _distinct(taken: float) -> float:
    """Estimate of the distinct items that took `taken` slots: -m ln(free share)."""
    return -SLOTS * math.log(max(1.0 - taken / SLOTS, 1.0 / SLOTS))


@native
def _scan_lines(
    data: np.ndarray,
    start: int,
    end: int,
    style: int,
    row: np.ndarray,
    line_table: np.ndarray,
    shape_table: np.ndarray,
    document: int,
) -> None:
    previous = -1
    lines = shapes = 0
    at = start
    while at < end:
        stop = at
        # first byte that is not blank
        first = -1
        exact = shape = _BASIS
        last_class = 255
        only_brackets = True
        while stop < end and data[stop] != 10:
            byte = data[stop]
            kind = _CLASSES[byte]
            if kind != _SPACE and first < 0:
                first = stop
            if first >= 0:
                exact = (exact ^ np.uint64(byte)) * _PRIME
                kind = _LETTER if kind in (_UNDERSCORE, _HIGH) else kind
                if kind in (_PUNCTUATION, _BRACKET, _QUOTE):
                    shape = (shape ^ np.uint64(byte)) * _PRIME
                elif kind != last_class:
                    # a run of letters, digits or blanks is one item of the line's shape
                    shape = (shape ^ np.uint64(kind)) * _PRIME
                last_class = kind
                if kind in (_LETTER, _DIGIT, _QUOTE):
                    only_brackets = False
            stop += 1
        length = stop - at
        row[C.lines] += 1
        row[C.max_line] = max(row[C.max_line], length)
        if length > LONG_LINE:
            row[C.long_line_bytes] += length
        if first < 0:
            row[C.blank_lines] += 1
        else:
            indent = first - at
            for i in range(at, first):
                # a tab is four columns
                indent += 3 if data[i] == 9 else 0
            row[C.line_sum] += length
            row[C.line_squares] += float(length) * length
            row[C.indent_sum] += indent
            row[C.indent_squares] += float(indent) * indent
            row[C.max_indent] = max(row[C.max_indent], indent)
            if previous >= 0 and indent > previous:
                row[C.deeper_lines] += 1
            previous = indent
            row[C.bracket_lines] += only_brackets
            row[C.comment_lines] += _comment_end(data, first, end, style) > 0
            lines += _first_time(line_table, document, exact)
            shapes += _first_time(shape_table, document, shape)
        at = stop + 1
    row[C.distinct_lines] = _distinct(lines)
    row[C.distinct_shapes] = _distinct(shapes)


@native
def _scan_tokens(
    data: np.ndarray,
    start: int,
    end: int,
    style: int,
    row: np.ndarray,
    table: np.ndarray,
    document: int,
) -> None:
    distinct = 0
    # of the current line
    names = literals = calls = assigns = imports = 0
    # the comment before is a doc comment of which this line may be more
    documented = False
    at = start
    while at < end:
        byte = data[at]
        kind = _CLASSES[byte]
        after = _comment_end(data, at, end, style)
        if after > 0:
            row[C.comment_bytes] += after - at
            _count_words(data, at, min(after, start + HEAD_BYTES), row)
            if _is_doc_comment(data, at, after):
                row[C.docstrings] += not documented
                row[C.docstring_bytes] += after - at
                documented = True
            at = after
        elif kind == _QUOTE and style != _PLAIN and not (style == _MARKUP and byte != 34):
            triple = at + 2 < end and data[at + 1] == byte and data[at + 2] == byte
            after = _triple_end(data, at, end) if triple else _string_end(data, at, end)
            if triple:
                row[C.docstrings] += 1
                row[C.docstring_bytes] += after - at
                _count_words(data, at, min(after, start + HEAD_BYTES), row)
            else:
                row[C.strings] += 1
                row[C.string_bytes] += after - at
                literals += 1
            at = after
        elif kind in (_LETTER, _UNDERSCORE, _HIGH):
            documented = False
            after, value = _word_end(data, at, end)
            row[C.identifiers] += 1
            row[C.identifier_bytes] += after - at
            row[C.single_letters] += after - at == 1
            distinct += _first_time(table, document, value)
            family = _family(_KEYWORDS, _KEYWORD_COLUMNS, value)
            if family >= 0:
                row[family] += 1
            if family == C.constants:
                literals += 1
            else:
                imports += family == C.imports and names == 0
                names += 1
            if after < end and data[after] == 40 and family < 0:
                row[C.calls] += 1
                calls += 1
            if style == _PLAIN and at < start + HEAD_BYTES:
                _count_words(data, at, after, row)
            at = after
        elif kind == _DIGIT:
            after = at + 1
            while after < end and (_is_word(_CLASSES[data[after]]) or data[after] == 46):
                after += 1
            row[C.numbers] += 1
            literals += 1
            at = after
        elif kind == _NEWLINE:
            _close_line(row, names, literals, calls, assigns, imports)
            names = literals = calls = assigns = imports = 0
            at += 1
        else:
            # '='; a comparison where a second one, or one of ! < >, stands beside it
            if byte == 61:
                after = at + 1
                while after < end and data[after] == 61:
                    after += 1
                compares = after > at + 1 or (at > start and _compares(data[at - 1]))
                row[C.comparisons] += compares
                row[C.assignments] += not compares
                assigns += not compares
                at = after - 1
            elif byte == 58:
                # ':' also binds a key to a value
                assigns += 1
            at += 1
    _close_line(row, names, literals, calls, assigns, imports)
    row[C.distinct_identifiers] = _distinct(distinct)


@native
def _close_line(
    row: np.ndarray, names: int, literals: int, calls: int, assigns: int, imports: int
) -> None:
    row[C.code_lines] += names + literals > 0
    row[C.import_lines] += imports > 0
    row[C.literal_lines] += literals > 0 and names == 0
    row[C.assignment_lines] += assigns > 0 and calls == 0 and names > 0 and names <= 2


@native
def _scan_bytes(
    data: np.ndarray, start: int, end: int, row: np.ndarray, table: np.ndarray, document: int
) -> None:
    """Shares of byte classes, entropy of bytes in bits, and distinct 4-grams of the head (a proxy
    of compressibility).
    """
    histogram = np.zeros(256, np.int64)
    for i in range(start, end):
        histogram[data[i]] += 1
    size = max(end - start, 1)
    for byte in range(256):
        n = histogram[byte]
        if n == 0:
            continue
        row[C.entropy] -= n / size * math.log2(n / size)
        kind = _CLASSES[byte]
        row[C.digit_bytes] += n if kind == _DIGIT else 0
        row[C.punctuation] += n if kind == _PUNCTUATION else 0
        row[C.brackets] += n if kind == _BRACKET else 0
        row[C.underscores] += n if kind == _UNDERSCORE else 0
        row[C.non_ascii] += n if kind == _HIGH else 0
        row[C.whitespace] += n if kind in (_SPACE, _NEWLINE) else 0
        row[C.upper] += n if byte >= 65 and byte <= 90 else 0
    stop = min(end, start + GRAM_BYTES)
    gram = np.uint64(0)
    distinct = 0
    for i in range(start, stop):
        gram = ((gram << np.uint64(8)) | np.uint64(data[i])) & np.uint64(0xFFFFFFFF)
        if i >= start + 3:
            distinct += _first_time(table, document, gram)
    row[C.grams] = max(stop - start - 3, 0)
    row[C.distinct_grams] = _distinct(distinct)


@native
def _is_word(kind: int) -> bool:
    return kind in (_LETTER, _DIGIT, _UNDERSCORE, _HIGH)


@native
def _compares(byte: int) -> bool:
    return byte == 33 or byte == 60 or byte == 62


@native
def _word_end(data: np.ndarray, at: int, end: int) -> tuple[int, np.uint64]:
    """Position after the identifier at `at`, and its FNV-1a hash."""
    value = _BASIS
    while at < end and _is_word(_CLASSES[data[at]]):
        value = (value ^ np.uint64(data[at])) * _PRIME
        at += 1
    return at, value


@native
def _family(keys: np.ndarray, columns: np.ndarray, value: np.uint64) -> int:
    """Column of the word family that holds the hash `value`, or -1."""
    slot = np.int64(value & _LOW)
    while keys[slot] != 0:
        if keys[slot] == value:
            return columns[slot]
        slot = (slot + 1) & 1023
    return -1


@native
def _count_words(data: np.ndarray, at: int, end: int, row: np.ndarray) -> None:
    """Count the head words of data[at:end], lower-cased: only comments and prose announce a
    generator or a licence.
    """
    while at < end:
        if _CLASSES[data[at]] != _LETTER:
            at += 1
            continue
        value = _BASIS
        while at < end and _CLASSES[data[at]] == _LETTER:
            byte = data[at]
            value = (value ^ np.uint64(byte + 32 if byte <= 90 else byte)) * _PRIME
            at += 1
        family = _family(_HEAD, _HEAD_COLUMNS, value)
        if family >= 0:
            row[family] += 1


@native
def _comment_end(data: np.ndarray, at: int, end: int, style: int) -> int:
    """Position after the comment that opens at `at` (a line comment stops before its newline), or 0
    where none opens.
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
def _is_doc_comment(data: np.ndarray, at: int, after: int) -> bool:
    """Whether a comment has the mark of a documentation tool.

    /** /*! /// //! (Javadoc, Doxygen, rustdoc, C#, Swift), #' (roxygen2), --- and -- | (LDoc,
    Haddock).
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
def _string_end(data: np.ndarray, at: int, end: int) -> int:
    """Position after the string that opens at `at`, or before the newline that leaves it open; a
    backtick's may span lines.
    """
    quote = data[at]
    at += 1
    while at < end:
        # backslash
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
def _triple_end(data: np.ndarray, at: int, end: int) -> int:
    """Position after the triple-quoted string that opens at `at`, or `end`."""
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
