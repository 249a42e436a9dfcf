"""Counts lines, tokens and bytes of source files; `structure.features` turns them into features.

The tokens come from lexer.py. Distinct items are counted by linear counting (Whang et al. 1990).
The tables are never cleared: a slot is taken where it holds the number of the current document.
"""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any, NamedTuple

import numpy as np

from seedbed.kernels.native import native
from seedbed.kernels.source_code import lexis
from seedbed.kernels.source_code.lexer import (
    CLASSES,
    comment_end,
    family,
    is_doc_comment,
    is_word,
    string_end,
    triple_end,
    word_end,
)

_LINE_COUNTS = (
    "lines blank_lines max_line line_sum line_squares long_line_bytes comment_lines bracket_lines "
    "distinct_lines distinct_shapes indent_sum indent_squares max_indent deeper_lines"
)
_TOKEN_COUNTS = (
    "bytes identifiers identifier_bytes single_letters distinct_identifiers numbers digit_bytes "
    "string_bytes strings comment_bytes docstring_bytes docstrings punctuation brackets upper "
    "underscores non_ascii whitespace calls comparisons assignments code_lines import_lines "
    "literal_lines assignment_lines distinct_grams grams entropy"
)
_COLUMNS = [*_LINE_COUNTS.split(), *_TOKEN_COUNTS.split(), *lexis.KEYWORDS, *lexis.HEAD_WORDS]
Counts = namedtuple("Counts", _COLUMNS)  # type: ignore[misc]
# The column of each count.
C: Any = Counts(*range(len(Counts._fields)))

# Generators and licences announce themselves in this part of a file.
HEAD_BYTES = 2048
# The share of distinct 4-grams falls with length, so it is taken over a bounded head.
GRAM_BYTES = 16384
# In bytes. No formatter allows longer lines.
LONG_LINE = 160
# The size of a table for linear counting.
SLOTS = 1 << 16

_KEYWORDS, _KEYWORD_COLUMNS = lexis.hash_table(lexis.KEYWORDS, C._asdict())
_HEAD, _HEAD_COLUMNS = lexis.hash_table(lexis.HEAD_WORDS, C._asdict())
_BASIS, _PRIME = np.uint64(lexis.FNV_BASIS), np.uint64(lexis.FNV_PRIME)
# 2**64 / golden ratio, for Fibonacci hashing (Knuth, section 6.4).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(48)
_SPACE, _LETTER, _DIGIT, _UNDERSCORE = lexis.SPACE, lexis.LETTER, lexis.DIGIT, lexis.UNDERSCORE
_BRACKET, _QUOTE, _PUNCTUATION = lexis.BRACKET, lexis.QUOTE, lexis.PUNCTUATION
_HIGH, _NEWLINE = lexis.HIGH, lexis.NEWLINE
_MARKUP, _PLAIN = lexis.MARKUP, lexis.PLAIN


class SourceText(NamedTuple):
    """One document, data[start:end] (uint8, UTF-8), its comment style and its number."""

    data: np.ndarray
    start: int
    end: int
    style: int
    document: int


@native
def scan(data: np.ndarray, offsets: np.ndarray, styles: np.ndarray) -> np.ndarray:
    """Counts, float64 (documents, len(C)), of the documents data[offsets[i]:offsets[i + 1]].

    data: uint8, UTF-8 bytes. offsets: int64 (documents + 1,). styles: int64 (documents,), the
    comment style of each document.
    """
    documents = offsets.shape[0] - 1
    out = np.zeros((documents, len(C)), np.float64)
    # One table each for lines, shapes of lines, identifiers and 4-grams.
    tables = np.full((4, SLOTS), -1, np.int32)
    for d in range(documents):
        start, end = offsets[d], offsets[d + 1]
        row = out[d]
        row[C.bytes] = end - start
        text = SourceText(data, start, end, styles[d], d)
        _scan_lines(text, row, tables[0], tables[1])
        _scan_tokens(text, row, tables[2])
        _scan_bytes(text, row, tables[3])
    return out


@native
def _first_time(table: np.ndarray, document: int, value: np.uint64) -> int:
    """1 where this `document` had not taken the slot of the 64-bit `value`, else 0."""
    slot = np.int64((value * _SPREAD) >> _SHIFT)
    if table[slot] == document:
        return 0
    table[slot] = document
    return 1


@native
def _distinct(taken: float) -> float:
    """Estimated number of distinct items that took `taken` of m slots: -m ln(free share)."""
    return -SLOTS * math.log(max(1.0 - taken / SLOTS, 1.0 / SLOTS))


@native
def _scan_lines(
    text: SourceText, row: np.ndarray, line_table: np.ndarray, shape_table: np.ndarray
) -> None:
    """Add the counts of _LINE_COUNTS to `row`.

    A line's shape is the line with each run of letters, digits or blanks as one item.
    """
    data, start, end, style, document = text
    previous = -1
    lines = shapes = 0
    at = start
    while at < end:
        stop = at
        # The first byte that is not blank.
        first = -1
        exact = shape = _BASIS
        last_class = 255
        only_brackets = True
        while stop < end and data[stop] != 10:
            byte = data[stop]
            kind = CLASSES[byte]
            if kind != _SPACE and first < 0:
                first = stop
            if first >= 0:
                exact = (exact ^ np.uint64(byte)) * _PRIME
                kind = _LETTER if kind in (_UNDERSCORE, _HIGH) else kind
                if kind in (_PUNCTUATION, _BRACKET, _QUOTE):
                    shape = (shape ^ np.uint64(byte)) * _PRIME
                elif kind != last_class:
                    # A run of letters, digits or blanks is one item of the line's shape.
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
                # A tab counts as four columns.
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
            row[C.comment_lines] += comment_end(data, first, end, style) > 0
            lines += _first_time(line_table, document, exact)
            shapes += _first_time(shape_table, document, shape)
        at = stop + 1
    row[C.distinct_lines] = _distinct(lines)
    row[C.distinct_shapes] = _distinct(shapes)


@native
def _scan_tokens(text: SourceText, row: np.ndarray, table: np.ndarray) -> None:
    """Add the counts of words, literals, comments and code lines to `row`."""
    data, start, end, style, document = text
    distinct = 0
    # Counts of the current line.
    names = literals = calls = assigns = imports = 0
    # The comment before is a documentation comment, which this line may continue.
    documented = False
    at = start
    while at < end:
        byte = data[at]
        kind = CLASSES[byte]
        after = comment_end(data, at, end, style)
        if after > 0:
            row[C.comment_bytes] += after - at
            _count_words(data, at, min(after, start + HEAD_BYTES), row)
            if is_doc_comment(data, at, after):
                row[C.docstrings] += not documented
                row[C.docstring_bytes] += after - at
                documented = True
            at = after
        elif kind == _QUOTE and style != _PLAIN and not (style == _MARKUP and byte != 34):
            triple = at + 2 < end and data[at + 1] == byte and data[at + 2] == byte
            after = triple_end(data, at, end) if triple else string_end(data, at, end)
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
            after, value = word_end(data, at, end)
            row[C.identifiers] += 1
            row[C.identifier_bytes] += after - at
            row[C.single_letters] += after - at == 1
            distinct += _first_time(table, document, value)
            column = family(_KEYWORDS, _KEYWORD_COLUMNS, value)
            if column >= 0:
                row[column] += 1
            if column == C.constants:
                literals += 1
            else:
                imports += column == C.imports and names == 0
                names += 1
            if after < end and data[after] == 40 and column < 0:
                row[C.calls] += 1
                calls += 1
            if style == _PLAIN and at < start + HEAD_BYTES:
                _count_words(data, at, after, row)
            at = after
        elif kind == _DIGIT:
            after = at + 1
            while after < end and (is_word(CLASSES[data[after]]) or data[after] == 46):
                after += 1
            row[C.numbers] += 1
            literals += 1
            at = after
        elif kind == _NEWLINE:
            _close_line(row, names, literals, calls, assigns, imports)
            names = literals = calls = assigns = imports = 0
            at += 1
        else:
            # '=' compares where a second '=', or one of ! < >, stands beside it.
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
                # ':' also binds a key to a value.
                assigns += 1
            at += 1
    _close_line(row, names, literals, calls, assigns, imports)
    row[C.distinct_identifiers] = _distinct(distinct)


@native
def _close_line(
    row: np.ndarray, names: int, literals: int, calls: int, assigns: int, imports: int
) -> None:
    """Classify a line by the number of its names, literals, calls, bindings and imports."""
    row[C.code_lines] += names + literals > 0
    row[C.import_lines] += imports > 0
    row[C.literal_lines] += literals > 0 and names == 0
    row[C.assignment_lines] += assigns > 0 and calls == 0 and names > 0 and names <= 2


@native
def _scan_bytes(text: SourceText, row: np.ndarray, table: np.ndarray) -> None:
    """Add counts of byte classes, the entropy of bytes in bits, and 4-grams of the head to `row`.

    The distinct 4-grams are a proxy of compressibility.
    """
    data, start, end, _, document = text
    histogram = np.zeros(256, np.int64)
    for i in range(start, end):
        histogram[data[i]] += 1
    size = max(end - start, 1)
    for byte in range(256):
        n = histogram[byte]
        if n == 0:
            continue
        row[C.entropy] -= n / size * math.log2(n / size)
        kind = CLASSES[byte]
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
def _compares(byte: int) -> bool:
    """Whether `byte` is one of ! < >, which make a comparison of a following '='."""
    return byte == 33 or byte == 60 or byte == 62


@native
def _count_words(data: np.ndarray, at: int, end: int, row: np.ndarray) -> None:
    """Count the head words, lower-cased, of data[at:end].

    The caller gives comments and prose only, where generators and licences announce themselves.
    """
    while at < end:
        if CLASSES[data[at]] != _LETTER:
            at += 1
            continue
        value = _BASIS
        while at < end and CLASSES[data[at]] == _LETTER:
            byte = data[at]
            value = (value ^ np.uint64(byte + 32 if byte <= 90 else byte)) * _PRIME
            at += 1
        column = family(_HEAD, _HEAD_COLUMNS, value)
        if column >= 0:
            row[column] += 1
