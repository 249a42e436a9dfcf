from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from seedbed.kernels.source_code.grammars import GRAMMARS
from spark_jobs.sources import licenses
from spark_jobs.sources.languages import EXTENSIONS, FILE_NAMES, language_of

SHARED = Path(os.environ.get("SEEDBED_SHARED", Path(__file__).resolve().parents[4] / "shared"))

# App A.1 of the paper.
_NAMES = (
    "ANTLR, Ada, Agda, Alloy, AppleScript, Assembly, Augeas, AWK, Batchfile, Bluespec, C, C#, "
    "C++, CMake, CSS, Clojure, CoffeeScript, Common Lisp, CUDA, Dart, Dockerfile, Elixir, Elm, "
    "Emacs Lisp, Erlang, F#, Fortran, GLSL, Go, Groovy, HTML, Haskell, Idris, Isabelle, JSON, "
    "Java, Java Server Pages, JavaScript, Julia, Kotlin, Lean, Literate Agda, Literate "
    "CoffeeScript, Literate Haskell, Lua, Makefile, Maple, Markdown, Mathematica, MATLAB, "
    "OCaml, PHP, Pascal, Perl, PowerShell, Prolog, Protocol Buffer, Python, R, RMarkdown, "
    "Racket, Ruby, Rust, SAS, SPARQL, SQL, Scala, Scheme, Shell, Smalltalk, Solidity, Stan, "
    "Standard ML, Stata, Swift, SystemVerilog, Tcl, Tcsh, TeX, Thrift, TypeScript, VHDL, "
    "Verilog, Visual Basic, XSLT, YAML, Yacc, Zig, reStructuredText"
)
PAPER = _NAMES.split(", ")


def test_every_language_of_the_paper_has_extensions():
    assert len(PAPER) == 89
    assert set(PAPER) <= set(EXTENSIONS)


def test_names_and_grammars_speak_of_known_languages():
    assert set(FILE_NAMES) <= set(EXTENSIONS)
    assert set(GRAMMARS) <= set(EXTENSIONS)


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/b.py", "Python"),
        ("a/B.PY", "Python"),
        ("a.b/c", None),
        ("x.h", "C"),
        ("x.tsx", "TypeScript"),
        ("t.html.j2", "Jinja"),
        ("Makefile", "Makefile"),
        ("src/CMakeLists.txt", "CMake"),
        ("Dockerfile.gpu", "Dockerfile"),
        (".py", None),
        ("README", None),
        ("notes.txt", None),
        ("archive.", None),
    ],
)
def test_the_language_follows_from_the_name_alone(path, language):
    assert language_of(path) == language


def test_the_oracle_files_have_the_languages_that_the_oracle_saw():
    labels = SHARED / "oracle/labels.jsonl"
    if not labels.is_file():
        pytest.skip(f"{labels} is not here (set SEEDBED_SHARED)")
    rows = [json.loads(line) for line in labels.read_text().splitlines()]
    assert [row["path"] for row in rows if language_of(row["path"]) != row["language"]] == []


@pytest.mark.parametrize(
    ("expression", "field", "classifiers", "spdx"),
    [
        ("MIT", "GPL", [], "MIT"),
        ("(MIT OR Apache-2.0) AND ISC", None, [], "(MIT OR Apache-2.0) AND ISC"),
        ("see LICENSE file!", "MIT License", [], "MIT"),
        (None, "Apache License, Version 2.0", [], "Apache-2.0"),
        (None, "Apache License 2.0", [], "Apache-2.0"),
        (None, "GPLv3+", [], "GPL-3.0-or-later"),
        (None, "BSD-3-Clause", [], "BSD-3-Clause"),
        (None, "BSD", ["License :: OSI Approved :: BSD License"], None),
        (None, None, ["License :: OSI Approved :: MIT License", "Topic :: Software"], "MIT"),
        (None, None, ["License :: OSI Approved", "License :: OSI Approved :: MIT License"], "MIT"),
        (None, None, ["License :: OSI Approved :: MIT License", "License :: Public Domain"], None),
        (None, None, [], None),
    ],
)
def test_a_license_is_named_only_where_the_metadata_leaves_no_doubt(
    expression, field, classifiers, spdx
):
    assert licenses.from_metadata(expression, field, classifiers) == spdx


@pytest.mark.parametrize(
    ("text", "spdx"),
    [
        ("Apache License\n   Version 2.0, January 2004\n", "Apache-2.0"),
        (
            "Redistribution and use in source and binary forms, with or\n"
            "without modification, are permitted",
            "BSD-2-Clause",
        ),
        (
            "Redistribution and use in source and binary forms "
            "... used to endorse or promote products",
            "BSD-3-Clause",
        ),
        ("GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007", "GPL-3.0-only"),
        ("GNU AFFERO GENERAL PUBLIC LICENSE\n  Version 3, 19 November 2007", "AGPL-3.0-only"),
        ("All rights reserved. Do not copy.", None),
    ],
)
def test_a_license_text_is_known_by_its_own_phrases(text, spdx):
    assert licenses.from_text(text) == spdx
