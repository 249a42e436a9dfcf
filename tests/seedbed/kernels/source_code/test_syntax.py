"""Facts of source files, and a parser that is ended when it does not return."""

from __future__ import annotations

import signal
import time

import pytest

from seedbed.kernels.source_code.grammars import GRAMMARS
from seedbed.kernels.source_code.parse_guard import ParseGuard
from seedbed.kernels.source_code.syntax import parse

PYTHON = b"""# a comment
class Box:
    def get(self):  # another
        return lambda: 1


async def make():
    return Box()
"""


def test_definitions_and_comments_are_counted():
    facts = parse(PYTHON, GRAMMARS["Python"])
    assert (facts.parser, facts.has_error, facts.error_share) == ("python", False, 0.0)
    assert (facts.functions, facts.classes) == (2, 1)
    assert facts.comment_share == len(b"# a comment# another") / len(PYTHON)


def test_javascript_arrow_functions_and_methods_count():
    facts = parse(
        b"const f = () => 1;\nclass A { m() {} }\nfunction g() {}\n", GRAMMARS["JavaScript"]
    )
    assert (facts.functions, facts.classes) == (3, 1)


def test_a_struct_counts_where_it_is_defined_and_not_where_it_is_named():
    facts = parse(
        b"struct s { int a; };\nstruct s x;\nint f(struct s *p) { return 0; }\n", GRAMMARS["C"]
    )
    assert (facts.parser, facts.functions, facts.classes) == ("c", 1, 1)


def test_the_error_share_is_the_bytes_under_the_outermost_errors():
    facts = parse(b"int a;\n@@@@\nint b;\n", ("c",))
    assert facts.has_error
    assert facts.error_share == pytest.approx(4 / 19)


def test_a_missing_token_costs_one_byte():
    facts = parse(b"int a", ("c",))
    assert facts.has_error
    assert facts.error_share == pytest.approx(1 / 5)


def test_a_header_in_cpp_and_typescript_with_elements_go_to_the_grammar_that_accepts_them():
    assert parse(b"template <class T> class A : public B<T> {};\n", GRAMMARS["C"]).parser == "cpp"
    assert parse(b"const a = <div>x</div>;\n", GRAMMARS["TypeScript"]).parser == "tsx"
    assert parse(b"const a = <number>b;\n", GRAMMARS["TypeScript"]).parser == "typescript"


def test_an_empty_text_has_facts():
    facts = parse(b"", GRAMMARS["Python"])
    assert (facts.has_error, facts.error_share, facts.comment_share) == (False, 0.0, 0.0)


def test_every_grammar_of_the_table_loads_and_parses():
    for language, grammars in GRAMMARS.items():
        for grammar in grammars:
            assert parse(b"x\n", (grammar,)).parser == grammar, language


def test_a_grammar_that_loops_in_c_is_ended_and_the_next_file_is_parsed():
    started = time.monotonic()
    with ParseGuard(timeout_s=0.3) as guard:
        assert guard.facts(b"x = 1\n", ("cobol",)) == ("timeout", None)
        assert time.monotonic() - started < 30
        assert guard.facts(PYTHON, ("python",)) == ("ok", parse(PYTHON, ("python",)))
        assert guard.facts(b"x = 1\n", ("cobol",)) == ("timeout", None)


def test_a_parser_that_dies_of_something_else_has_failed_and_the_next_file_is_parsed():
    with ParseGuard(timeout_s=5) as guard:
        assert guard.facts(PYTHON, ("python",))[0] == "ok"
        guard._child.send_signal(signal.SIGSEGV)
        guard._child.wait()
        assert guard.facts(PYTHON, ("python",)) == ("failed", None)
        assert guard.facts(PYTHON, ("python",))[0] == "ok"


def test_of_many_files_at_once_only_the_one_that_loops_is_without_facts():
    files = [(PYTHON, ("python",)), (b"x = 1\n", ("cobol",)), (b"x", ()), (b"y = 1\n", ("python",))]
    with ParseGuard(timeout_s=0.3) as guard:
        verdicts = guard.verdicts(files * 2)
    assert [status for status, _ in verdicts] == ["ok", "timeout", "no_parser", "ok"] * 2
    assert [facts for _, facts in verdicts if facts] == [
        parse(PYTHON, ("python",)),
        parse(b"y = 1\n", ("python",)),
    ] * 2


def test_a_language_without_a_grammar_has_no_parser():
    with ParseGuard(timeout_s=1) as guard:
        assert guard.facts(b"x", ()) == ("no_parser", None)
        assert guard._child is None
