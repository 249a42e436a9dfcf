"""Facts about one source file: the share that its parser rejects, its definitions and its lines.

All are pure functions of the text. A grammar may loop for ever inside C, where nothing in this
process can stop it. So run `parse` through `parse_guard.ParseGuard`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tree_sitter import Language, Node, Parser, Query, QueryCursor
from tree_sitter_language_pack import get_language

from seedbed.kernels.source_code.grammars import CLASSES, COMMENTS, FUNCTIONS


@dataclass(frozen=True)
class SyntaxFacts:
    """What tree-sitter finds in one file.

    parser: the grammar used. error_share: the bytes under outermost ERROR nodes, plus one byte per
    MISSING node, over all bytes. comment_share: the bytes of comment nodes over all bytes; a Python
    docstring is a string and no comment.
    """

    parser: str
    has_error: bool
    error_share: float
    functions: int
    classes: int
    comment_share: float


@dataclass(frozen=True)
class Lines:
    """Number of lines, and their longest and mean length in characters.

    Only '\\n' ends a line, and it does not count as a character of it.
    """

    lines: int
    max_line: int
    mean_line: float


def parse(raw: bytes, grammars: tuple[str, ...]) -> SyntaxFacts:
    """Facts about UTF-8 source `raw`.

    They are those of the first of `grammars` that finds no error, else of the one that rejects the
    fewest bytes.
    """
    trees = []
    for name in grammars:
        root = _tools(name).parser.parse(raw).root_node
        wrong = _bytes_in_error(root)
        trees.append((wrong, name, root))
        if not root.has_error:
            break
    wrong, name, root = min(trees, key=lambda tree: (tree[2].has_error, tree[0]))
    size = max(len(raw), 1)
    found = _tools(name).captures(root)
    return SyntaxFacts(
        parser=name,
        has_error=root.has_error,
        error_share=min(wrong / size, 1.0),
        functions=len(found.get("function", ())),
        classes=len(found.get("class", ())),
        comment_share=_covered(found.get("comment", [])) / size,
    )


def line_stats(text: str) -> Lines:
    """Line statistics of `text`; an empty text has no lines."""
    body = text.removesuffix("\n")
    lines = body.split("\n") if text else []
    # All characters of the body but the ends between its lines.
    characters = len(body) - len(lines) + 1
    return Lines(
        len(lines), max(map(len, lines), default=0), characters / len(lines) if lines else 0.0
    )


class _Tools:
    """The parser of one grammar, and the query for its definitions and comments.

    The query runs in one pass in C.
    """

    def __init__(self, grammar: str):
        language = get_language(grammar)  # type: ignore[arg-type]
        self.parser = Parser(language)
        # In C, `struct s` names a type; it defines one only with a body.
        patterns = [
            f"({kind} body: (_)) @{capture}"
            if kind.endswith("_specifier")
            else f"({kind}) @{capture}"
            for capture, wanted in (
                ("function", FUNCTIONS),
                ("class", CLASSES),
                ("comment", COMMENTS),
            )
            for kind in sorted(wanted & _kinds(language))
        ]
        self._query = Query(language, "\n".join(patterns)) if patterns else None

    def captures(self, root: Node) -> dict[str, list[Node]]:
        """Nodes by what they are: function, class or comment."""
        return QueryCursor(self._query).captures(root) if self._query else {}


@cache
def _tools(grammar: str) -> _Tools:
    return _Tools(grammar)


def _kinds(language: Language) -> set[str]:
    """Names of all nodes that can appear in this grammar's trees."""
    named = (
        language.node_kind_for_id(number)
        for number in range(language.node_kind_count)
        if language.node_kind_is_named(number) and language.node_kind_is_visible(number)
    )
    return {kind for kind in named if kind}


def _bytes_in_error(root: Node) -> int:
    """Bytes under outermost ERROR nodes, plus one per MISSING node.

    It visits only nodes that hold an error.
    """
    total = 0
    waiting = [root] if root.has_error else []
    while waiting:
        node = waiting.pop()
        if node.is_error:
            total += node.end_byte - node.start_byte
        elif node.is_missing:
            total += 1
        else:
            waiting += [child for child in node.children if child.has_error]
    return total


def _covered(nodes: list[Node]) -> int:
    """Bytes that `nodes` cover together; one node may lie in another."""
    total, end = 0, 0
    for start, stop in sorted((node.start_byte, node.end_byte) for node in nodes):
        total += max(stop - max(start, end), 0)
        end = max(end, stop)
    return total
