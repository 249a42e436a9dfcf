"""The compiled walk counts what the query counts, in the library that is installed."""

from __future__ import annotations

import random

import pytest

from seedbed.kernels.source_code import parse_guard, syntax, tree_walk
from seedbed.kernels.source_code.grammars import CLASSES, COMMENTS, FUNCTIONS, GRAMMARS
from seedbed.kernels.source_code.parse_guard import ParseGuard

ALL = sorted({name for names in GRAMMARS.values() for name in names})
# Definitions and comments of many languages, beside what no language has.
PIECES = [
    "",
    "def f(a):  # one",
    "class A: pass",
    "async def g():",
    "function h() { return () => 1 } // two",
    "class B { m() {} /* three */ get n() { return 1 } }",
    "struct s { int a; };",
    "struct s x;",
    "enum e { p, q };",
    "int k(struct s *p) { return 0; }",
    "template <class T> class C : public B<T> { int d; };",
    "namespace n { int v; }",
    "public interface I { void w(); }",
    "func z() int { return 1 }",
    "type T struct { a int }",
    "fn y() -> u8 { 1 } /* /* nested */ */",
    "impl A { fn b() {} }",
    "trait R { }",
    "/** doc */",
    "-- four",
    "% five",
    "; six",
    "<!-- seven -->",
    "{- eight -}",
    "(* nine *)",
    "#!/bin/sh",
    "q() { echo 1; }",
    "sub r { 1 }",
    "(defun o (x) x)",
    "begin end if then else for while do done { } ( ) [ ]",
    '"an open string',
    "'''long",
    "string'''",
    "@@@@ ??? \x00 \x07 é 中 😀",
    "",
]


def text(seed: int) -> str:
    draw = random.Random(seed)
    lines = ("  " * draw.randrange(4) + draw.choice(PIECES) for _ in range(draw.randrange(90)))
    return draw.choice(("\n", " ", "\r\n")).join(lines)


def test_the_pinned_library_is_one_that_the_walk_knows():
    assert tree_walk.supported()


def test_another_version_is_parsed_with_the_query(monkeypatch):
    monkeypatch.setattr(tree_walk, "version", lambda _: "0.27.0")
    assert not tree_walk.supported()
    assert not syntax.can_walk()


@pytest.mark.parametrize("grammar", ALL)
def test_walk_and_query_agree_in_every_grammar(grammar):
    for seed in range(12):
        raw = text(seed).encode()
        assert syntax.parse(raw, (grammar,), walk=True) == syntax.parse(raw, (grammar,)), seed


def test_the_kinds_of_all_roles_are_met_by_the_walk():
    source = b"# a\nclass A:\n  def f(self): # bc\n    pass\n"
    tools = syntax._tools("python")
    assert tools.walked(tools.parser.parse(source)) == (1, 1, 7)
    # Only the query knows whether a struct has a body.
    tools = syntax._tools("c")
    assert tools.walked(tools.parser.parse(b"struct s x;")) is None
    assert tools.walked(tools.parser.parse(b"int f() { /* no */ }")) == (1, 0, 8)


def test_constructors_of_cpp_are_functions():
    raw = b"A::A() { x = 1; }\nA::~A() { }\nint f() { return 1; }\n"
    tools = syntax._tools("cpp")
    tree = tools.parser.parse(raw)
    assert tools.walked(tree) == tools.queried(tree) == (3, 0, 0)


def test_a_comment_in_a_comment_covers_its_bytes_once():
    raw = b"/** a /* b */ c */\nfn f() {}\n"
    assert syntax.parse(raw, ("rust",), walk=True).comment_share == 18 / len(raw)


def test_no_kind_of_node_has_two_roles():
    assert FUNCTIONS.isdisjoint(CLASSES | COMMENTS)
    assert CLASSES.isdisjoint(COMMENTS)


@pytest.mark.parametrize("raw", [b"", b"\n", b"[" * 9000, b"x(" * 9000, b"# a\n" * 9000])
def test_deep_and_wide_trees_are_walked_to_their_end(raw):
    assert syntax.parse(raw, ("python",), walk=True) == syntax.parse(raw, ("python",))


def test_the_guard_walks_after_enough_source_and_says_the_same(monkeypatch, tmp_path):
    files = [(text(seed).encode(), ("python",)) for seed in range(8)]
    with ParseGuard(timeout_s=20) as guard:
        before = guard.verdicts(files)
    asked = []
    monkeypatch.setattr(parse_guard, "WALK_AFTER", 100)
    monkeypatch.setattr(parse_guard, "can_walk", lambda: asked.append(1) or True)
    walked = []
    parse = parse_guard.parse
    monkeypatch.setattr(parse_guard, "parse", lambda *args: walked.append(args[2]) or parse(*args))
    assert served(files * 2, tmp_path) == [facts for _, facts in before] * 2
    # The first request has more than enough.
    assert (asked, set(walked)) == ([1], {True})


def served(files, tmp_path):
    """What `serve` says of files, in this process and without its limits."""
    import io
    import json
    import os
    from array import array
    from unittest import mock

    parts = [" ".join(names).encode() for _, names in files] + [raw for raw, _ in files]
    request = parse_guard._HEADER.pack(20.0, len(files))
    request += array("I", map(len, parts)).tobytes() + b"".join(parts)
    path = tmp_path / "verdicts"
    verdicts = os.open(path, os.O_CREAT | os.O_RDWR)
    with (
        mock.patch.multiple(parse_guard, resource=mock.DEFAULT, signal=mock.DEFAULT),
        mock.patch.object(parse_guard, "gc"),
    ):
        parse_guard.serve(io.BytesIO(request), io.BytesIO(), verdicts)
    os.close(verdicts)
    return [syntax.SyntaxFacts(*json.loads(line)) for line in path.read_text().splitlines()]
