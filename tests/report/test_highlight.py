"""Source text from strangers, shown to readers."""

from __future__ import annotations

import re

from report.highlight import MAX_COLUMNS, source, unified_diff, visible


def plain(html: str) -> str:
    return (
        re.sub(r"<[^>]*>", "", html)
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#39;", "'")
        .replace("&quot;", '"')
    )


def test_code_is_highlighted_by_its_file_name_and_escaped():
    html = source("if a < b:\n    pass\n", "x.py")
    assert '<span class="k">if</span>' in html
    assert "a &lt; b" in plain(html.replace("&lt;", "&lt;")) or "&lt;" in html
    assert plain(html) == "if a < b:\n    pass"


def test_an_unknown_name_is_shown_as_plain_text():
    assert source("<i>", "no.such-language") == "&lt;i&gt;"


def test_a_leading_licence_is_left_out_and_counted():
    text = "# Copyright\n# All rights\n\nimport os\n"
    assert plain(source(text, "x.py")) == "… 3 lines of comment\nimport os"


def test_a_file_of_comments_alone_is_shown():
    assert plain(source("# one\n# two\n", "x.py")) == "# one\n# two"


def test_long_files_and_long_lines_are_cut_and_say_so():
    html = source("x\n" * 30 + "y" * 500, "x.txt", max_lines=10)
    assert plain(html) == "x\n" * 10 + "… 21 more lines"
    assert len(plain(source("y" * 500, "x.txt"))) == MAX_COLUMNS


def test_characters_that_hide_or_reorder_text_become_visible():
    assert visible("a\u202eb\x00c\u200bd\te\r\n") == "a\ufffdb\ufffdc\ufffdd    e\n"


def test_a_diff_marks_lines_and_escapes_them():
    html = unified_diff("same\n<old>\n", "same\n<new>\n")
    assert '<span class="del">-&lt;old&gt;</span><span class="add">+&lt;new&gt;</span>' in html
    assert '<span class="same"> same</span>' in html


def test_a_diff_keeps_lines_that_look_like_its_own_headers():
    assert "-- old" in plain(unified_diff("-- old\n", "++ new\n"))
