"""Where a licence head ends, over the comment marks of many languages and on what only looks like
one.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from seedbed.kernels.near_dup.license_head import license_end
from seedbed.kernels.near_dup.shingles import shingle_hashes


def rest(text: str) -> str:
    """The rest of a text after its head is cut."""
    data = ("skipped\n" + text).encode()
    return data[license_end(np.frombuffer(data, np.uint8), 8, len(data)) :].decode()


LICENSE = "Copyright 2020 The Authors.\n{} Licensed under the Apache License, Version 2.0"
CODE = "\nvalue = other + one\n"


@pytest.mark.parametrize(
    "head",
    [
        "# " + LICENSE.format("#"),
        "// " + LICENSE.format("//"),
        "-- " + LICENSE.format("--"),
        ";; " + LICENSE.format(";;"),
        "%% " + LICENSE.format("%"),
        "/* " + LICENSE.format(" *") + " */",
        "<!-- " + LICENSE.format("") + " -->",
        "(* " + LICENSE.format(" *") + " *)",
        "{- " + LICENSE.format("") + " -}",
        "{# " + LICENSE.format("") + " #}",
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n#\n# " + LICENSE.format("#"),
        "<?xml version='1.0'?>\n<!-- SPDX-License-Identifier: MIT -->",
        "<?php\n/* " + LICENSE.format("*") + " */",
        "\ufeff\r\n\t// COPYRIGHT me\r\n// more of the same comment",
        "# Copyright me\n#\n# No word of it in this line, but the comment goes on.",
        "# What this file does.\n\n# License: MIT",
    ],
)
def test_a_license_comment_at_the_head_is_cut(head: str) -> None:
    assert rest(head + CODE) == CODE


@pytest.mark.parametrize(
    "text",
    [
        "# What this file does.\nvalue = 1\n# Copyright me\n",
        "'''Copyright me'''\nvalue = 1\n",
        "#include <license.h>\nint copyright;\n",
        "#define LICENSE 1\n",
        "/* Copyright me, and never closed",
        "value = 'license'\n# Licensed under the MIT License\n",
        "",
        " \n\n",
        "# lic\n",
    ],
)
def test_what_is_no_license_comment_at_the_head_stays(text: str) -> None:
    assert rest(text) == text


def test_only_the_comments_up_to_the_license_go() -> None:
    assert (
        rest("# Copyright me\n\n# What this file does.\nx = 1\n")
        == "\n\n# What this file does.\nx = 1\n"
    )


def shingles(text: str) -> list[int]:
    return shingle_hashes(pa.array([text]), 5).values.tolist()


def test_two_short_files_under_one_license_share_nothing() -> None:
    head = "# " + LICENSE.format("#")
    one, other = head + CODE, head + "\nimport json, sys, os, re, io\n"
    assert shingles(one) == shingles(CODE)
    assert not set(shingles(one)) & set(shingles(other))


def test_a_file_that_is_all_license_keeps_its_words() -> None:
    head = "# " + LICENSE.format("#")
    assert shingles(head) == shingles(head.replace("#", ""))
    assert len(shingles(head)) > 5
