"""Shingle hashes against a plain Python reading of the definition."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest

from seedbed.kernels.near_dup.shingles import BASE, FNV_PRIME, Hashes, distinct, shingle_hashes

MASK = 2**64 - 1
TOKEN = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")


def fmix64(h: int) -> int:
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        h = ((h ^ h >> 33) * factor) & MASK
    return h ^ h >> 33


def token_hash(token: bytes) -> int:
    h = 0
    for byte in token:
        h = ((h ^ byte) * int(FNV_PRIME)) & MASK
    return fmix64(h)


def plain(text: str, size: int) -> list[int]:
    tokens = [token_hash(t) for t in TOKEN.findall(text.encode())]
    windows = [
        tokens[i : i + size] for i in range(max(len(tokens) - size + 1, min(len(tokens), 1)))
    ]
    return [
        fmix64(sum(h * pow(int(BASE), j, 2**64) for j, h in enumerate(w)) & MASK) for w in windows
    ]


def rows(hashes: Hashes) -> list[list[int]]:
    return [
        hashes.values[a:b].tolist()
        for a, b in zip(hashes.offsets, hashes.offsets[1:], strict=False)
    ]


TEXTS = [
    "def add(first, second):\n    return first + second\n",
    "",
    " \t()\n",
    "a",
    "a b c d",
    "a b c d e",
    "x = 1  # größe: 变量名,次\n" * 3,
    "()leading and trailing__tokens 0x1F\n()",
    "a b a b a b a b a b a b",
]


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_hashes_follow_the_definition(size: int) -> None:
    assert rows(shingle_hashes(pa.array(TEXTS), size)) == [plain(text, size) for text in TEXTS]


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["skipped words here", *TEXTS, "and here"]).slice(1, len(TEXTS)),
        pa.array(["skipped", *TEXTS], pa.large_string()).slice(1),
        pa.chunked_array([pa.array(TEXTS[:2]), pa.array([], pa.string()), pa.array(TEXTS[2:])]),
    ],
    ids=["slice", "large_string", "chunked"],
)
def test_the_arrow_layout_does_not_matter(array: pa.Array) -> None:
    assert rows(shingle_hashes(array, 5)) == [plain(text, 5) for text in TEXTS]


def test_a_null_has_no_tokens_even_where_it_spans_bytes() -> None:
    full = pa.array(["one two", "three four", "five six"])
    spanning = pa.Array.from_buffers(pa.string(), 3, [pa.py_buffer(b"\x05"), *full.buffers()[1:]])
    assert spanning.to_pylist() == ["one two", None, "five six"]
    assert rows(shingle_hashes(spanning, 5)) == [plain("one two", 5), [], plain("five six", 5)]


@pytest.mark.parametrize(
    "array", [pa.array([], pa.string()), pa.array(["", ""]), pa.array([None], pa.string())]
)
def test_arrays_without_text_give_no_hashes(array: pa.Array) -> None:
    hashes = shingle_hashes(array, 5)
    assert hashes.values.size == 0
    assert hashes.counts.tolist() == [0] * len(array)


def test_layout_and_comment_marks_do_not_count() -> None:
    one, two = rows(
        shingle_hashes(pa.array(["if (a) { return b + c }", "if a:\n\treturn b // c"]), 5)
    )
    assert one == two


def test_comments_in_another_script_keep_documents_apart() -> None:
    russian, japanese = rows(
        shingle_hashes(pa.array(["msg_1 = 'Привет мир'", "msg_1 = 'こんにちは'"]), 5)
    )
    assert not set(russian) & set(japanese)


def test_a_set_is_ascending_and_without_repeats() -> None:
    generator = np.random.default_rng(0)
    runs = [
        generator.integers(1, 2**64 - 1, 5000, np.uint64, endpoint=True),
        # All hashes have one home slot.
        generator.integers(1, 40, 5000, np.uint64),
        # All hashes go past the last slot.
        np.full(3000, 2**64 - 1, np.uint64) - generator.integers(0, 50, 3000, np.uint64),
        np.zeros(0, np.uint64),
        np.full(7, 9, np.uint64),
    ]
    offsets = np.cumsum([0, *map(len, runs)]).astype(np.int64)
    got = rows(distinct(Hashes(np.concatenate(runs), offsets)))
    assert got == [np.unique(run).tolist() for run in runs]


def test_one_long_line_is_read_whole() -> None:
    line = "".join(f"{i:06x}," for i in range(800_000))
    assert len(line) > 5_000_000
    hashes = shingle_hashes(pa.array([line, "a b"]), 5)
    assert hashes.counts.tolist() == [799_996, 1]
    assert distinct(hashes).counts.tolist() == [799_996, 1]


def test_a_line_of_fifty_megabytes_is_read_too() -> None:
    hashes = shingle_hashes(pa.array(["a1b2c3," * 7_500_000]), 5)
    assert hashes.counts.tolist() == [7_499_996]
    assert distinct(hashes).counts.tolist() == [1]
