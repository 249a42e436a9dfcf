"""Strategies that all boundaries share: damaged bytes, odd texts, and JSON of any shape."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

# What has broken readers before: nesting that no parser follows, numbers that no type holds,
# characters that no encoding has.
ODD_TEXTS = (
    "", " ", "\0", "\ud800", "\ufeff", "\u2028", "..", "/", "\\", "a" * 5000, "[" * 20_000,
    "(" * 300, "-" * 9000 + "1", "{" * 300, '{"a":' * 20_000, "9" * 5000, "1e999", "-1", "0",
    "nan", "NaN", ".nan", "Infinity", "-Infinity", "true", "null", "None", "${a}", "${", "%s", "$x",
    "lambda: 0", "é", "名", "\x1b[0m", "\r\n", "\x85", "1_000", "0x10", "1" * 400 + ".0",
)  # fmt: skip
ODD_NUMBERS = (
    0, -1, 1, 2, 255, 2**31, -(2**31), 2**63, 10**400, 0.0, -0.0, 0.5, 1e308, float("nan"),
    float("inf"), float("-inf"), 1e-320,
)  # fmt: skip


def odd_texts(*more: str) -> st.SearchStrategy[str]:
    """Texts that have broken readers, texts of this boundary, and any other."""
    return st.sampled_from(ODD_TEXTS + more) | st.text(max_size=20)


def odd_values(*texts: str) -> st.SearchStrategy[Any]:
    """JSON values of any shape."""
    leaves = st.none() | st.booleans() | st.sampled_from(ODD_NUMBERS) | odd_texts(*texts)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(odd_texts(*texts), inner, max_size=3)
        ),
        max_leaves=6,
    )


@st.composite
def odd_object(draw: st.DrawFn, whole: dict[str, Any], *texts: str) -> dict[str, Any]:
    """An object of a known shape in which some fields are missing, and others are odd."""
    found = dict(whole)
    for field in draw(st.lists(st.sampled_from(sorted(whole)), max_size=3)):
        if draw(st.booleans()):
            found[field] = draw(odd_values(*texts))
        else:
            found.pop(field, None)
    return found


def as_json(value: Any) -> bytes:
    """A value as a line of JSON. A lone surrogate stays an escape."""
    return json.dumps(value).encode()


_DAMAGES = ("cut", "flip", "drop", "repeat", "swap", "insert")


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes], most: int = 3) -> bytes:
    """Bytes that were cut, changed, or added to in up to `most` places."""
    data = draw(whole)
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(1, 600))
        kind = draw(st.sampled_from(_DAMAGES))
        if kind == "cut":
            data = data[:at]
        elif kind == "flip":
            data = data[:at] + draw(st.binary(min_size=1, max_size=4)) + data[at + 1 :]
        elif kind == "drop":
            data = data[:at] + data[at + size :]
        elif kind == "repeat":
            data = data[:at] + data[at : at + size] + data[at:]
        elif kind == "swap":
            data = data[:at] + b"\0" * size + data[at + size :]
        else:
            text = draw(odd_texts()).encode("utf-8", "surrogatepass")
            data = data[:at] + text + data[at:]
    return data
