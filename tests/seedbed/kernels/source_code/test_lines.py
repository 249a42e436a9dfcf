"""Line statistics, against the definition in Python's own words."""

from __future__ import annotations

import random

import pytest

from seedbed.kernels.source_code.lines import Lines, line_stats


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", Lines(0, 0, 0.0)),
        ("\n", Lines(1, 0, 0.0)),
        ("abc", Lines(1, 3, 3.0)),
        ("abc\n", Lines(1, 3, 3.0)),
        ("é\n\nabc\n", Lines(3, 3, 4 / 3)),
        ("a\x0cb\u2028c\n", Lines(1, 5, 5.0)),
        ("a\n\U0001f600\U0001f600", Lines(2, 2, 1.5)),
    ],
)
def test_lines_end_at_newlines_only_and_are_measured_in_characters(text, lines):
    assert line_stats(text) == lines


def test_drawn_texts_have_the_lines_that_split_finds():
    for seed in range(400):
        draw = random.Random(seed)
        alphabet = draw.choice(("a\n", "ab\n\r", "é\n", "中\n\nx\u2028", "\U0001f600\n\t\x00"))
        text = "".join(draw.choices(alphabet, k=draw.randrange(1, 40)))
        lines = text.removesuffix("\n").split("\n")
        expected = Lines(len(lines), max(map(len, lines)), sum(map(len, lines)) / len(lines))
        assert line_stats(text) == expected, repr(text)
