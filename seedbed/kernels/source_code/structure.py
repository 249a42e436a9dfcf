"""Structural features of a content: figures of its lines, words, comments and bytes.

`features` turns Arrow strings and language names into a matrix (documents, len(FEATURES)). Every
feature is a logarithm or the square root of a share; the root spreads out small shares. So only the
features of size grow with the file. A scorer fitted on features of another VERSION is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from seedbed.kernels.near_dup.shingles import string_buffers
from seedbed.kernels.source_code import lexis
from seedbed.kernels.source_code.structure_scan import C, scan

# Raise it with any change to the meaning of a feature, and fit the scorer again.
VERSION = "structure-2"

KINDS = ("code", "design", "data", "prose")
# A kind weighs as much as six features. The error with whole languages held out is flat from 4 to
# 10.
KIND_SCALE = 6.0

# Word families whose share of all words is a feature. The others count by line, by definition or in
# the head.
PER_WORD = (
    "defs",
    "classes",
    "returns",
    "branches",
    "loops",
    "errors",
    "asserts",
    "constants",
    "prints",
    "todos",
)


def features(texts: pa.Array | pa.ChunkedArray, languages: list[str | None]) -> np.ndarray:
    """Feature matrix, float64 (documents, len(FEATURES)).

    languages: one name per text, None where it is unknown.
    """
    data, offsets = string_buffers(texts)
    styles = np.array([lexis.STYLE_OF.get(name or "", lexis.SLASH) for name in languages], np.int64)
    counts = scan(data, offsets, styles)
    groups = [lexis.GROUP_OF.get(name or "") for name in languages]
    kinds = [lexis.kind_of(name) for name in languages]
    columns = [
        *_shape(counts).values(),
        *_one_hot(groups, list(lexis.GROUPS)),
        *_one_hot(kinds, KINDS),
    ]
    return np.stack(columns, axis=1)


def _one_hot(values: Sequence[str | None], names: Sequence[str]) -> list[np.ndarray]:
    """One column per name: 1 where the value is that name, else 0."""
    return [np.array([value == name for value in values], np.float64) for name in names]


def _shape(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Features by name from `scan`'s counts, in the order of the matrix."""

    def c(name: str) -> np.ndarray:
        return counts[:, getattr(C, name)]

    def share(part: str | np.ndarray, whole: np.ndarray) -> Any:
        return (c(part) if isinstance(part, str) else part) / np.maximum(whole, 1.0)

    def root(part: str, whole: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(share(part, whole), 0.0))

    size, lines = c("bytes"), c("lines")
    filled = lines - c("blank_lines")
    code = c("code_lines")
    words = c("identifiers")
    mean_line = share("line_sum", filled)
    mean_indent = share("indent_sum", filled)
    spread = np.sqrt(np.maximum(share("line_squares", filled) - mean_line**2, 0.0))
    indent_spread = np.sqrt(np.maximum(share("indent_squares", filled) - mean_indent**2, 0.0))
    return {
        # Size.
        "log_bytes": np.log1p(size),
        "log_lines": np.log1p(lines),
        "log_words": np.log1p(words),
        # Lines.
        "log_mean_line": np.log1p(mean_line),
        "log_max_line": np.log1p(c("max_line")),
        "log_line_spread": np.log1p(spread),
        "long_line_share": root("long_line_bytes", size),
        "blank_share": root("blank_lines", lines),
        "comment_line_share": root("comment_lines", filled),
        "import_line_share": root("import_lines", code),
        "bracket_line_share": root("bracket_lines", filled),
        "literal_line_share": root("literal_lines", code),
        "assignment_line_share": root("assignment_lines", code),
        "distinct_line_share": root("distinct_lines", filled),
        "distinct_shape_share": root("distinct_shapes", filled),
        # Indentation.
        "log_mean_indent": np.log1p(mean_indent),
        "log_indent_spread": np.log1p(indent_spread),
        "log_max_indent": np.log1p(c("max_indent")),
        "deeper_line_share": root("deeper_lines", filled),
        # Words.
        "mean_word_length": share("identifier_bytes", words),
        "single_letter_share": root("single_letters", words),
        "distinct_word_share": root("distinct_identifiers", words),
        "log_distinct_words": np.log1p(c("distinct_identifiers")),
        "word_byte_share": root("identifier_bytes", size),
        "upper_share": root("upper", size),
        "underscore_share": root("underscores", size),
        # Literals, comments and bytes.
        "number_share": root("numbers", words + c("numbers")),
        "digit_share": root("digit_bytes", size),
        "string_byte_share": root("string_bytes", size),
        "strings_per_line": np.log1p(share("strings", code)),
        "comment_byte_share": root("comment_bytes", size),
        "docstring_byte_share": root("docstring_bytes", size),
        "docs_per_line": root("docstrings", code),
        "punctuation_share": root("punctuation", size),
        "bracket_share": root("brackets", size),
        "whitespace_share": root("whitespace", size),
        "non_ascii_share": root("non_ascii", size),
        "distinct_gram_share": root("distinct_grams", c("grams")),
        "entropy": c("entropy"),
        # What the code does.
        "calls_per_word": root("calls", words),
        "assigns_per_word": root("assignments", words),
        "comparisons_per_word": root("comparisons", words),
        "log_words_per_line": np.log1p(share(words, code)),
        "log_defs": np.log1p(c("defs")),
        "log_lines_per_def": np.log1p(share(code, c("defs"))),
        "returns_per_def": np.minimum(share("returns", c("defs")), 4.0),
        "log_branches": np.log1p(c("branches")),
        **{f"{family}_per_word": root(family, words) for family in PER_WORD},
        # What the head announces.
        "generated_marks": np.minimum(c("generated_marks"), 3.0),
        "licence_marks": np.minimum(c("licence_marks"), 5.0),
    }


FEATURES: tuple[str, ...] = (
    *_shape(np.zeros((1, len(C)))),
    *(f"is_{group}" for group in lexis.GROUPS),
    *(f"is_{kind}" for kind in KINDS),
)
SCALES = np.array([1.0] * (len(FEATURES) - len(KINDS)) + [KIND_SCALE] * len(KINDS))
