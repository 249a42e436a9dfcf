"""Facts about one source file: the share that its parser rejects, its definitions and comments.

All are pure functions of the text. A grammar may loop for ever inside C, where nothing in this
process can stop it. So run `parse` through `parse_guard.ParseGuard`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from tree_sitter import Language, Node, Parser, Query, QueryCursor, Tree
from tree_sitter_language_pack import get_language

from seedbed.kernels.source_code.grammars import CLASSES, COMMENTS, FUNCTIONS

# In C, `struct s` names a type; it defines one only with a body.
_NEEDS_BODY = "_specifier"


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


def parse(raw: bytes, grammars: tuple[str, ...], walk: bool = False) -> SyntaxFacts:
    """Facts about UTF-8 source `raw`.

    They are those of the first of `grammars` that finds no error, else of the one that rejects the
    fewest bytes.

    walk: count by tree_walk, which `can_walk` has allowed. The facts are the same.
    """
    trees = []
    for name in grammars:
        tree = _tools(name).parser.parse(raw)
        wrong = _bytes_in_error(tree.root_node)
        trees.append((wrong, name, tree))
        if not tree.root_node.has_error:
            break
    wrong, name, tree = min(trees, key=lambda one: (one[2].root_node.has_error, one[0]))
    size = max(len(raw), 1)
    counts = _tools(name).walked(tree) if walk else None
    functions, classes, covered = counts or _tools(name).queried(tree)
    return SyntaxFacts(
        parser=name,
        has_error=tree.root_node.has_error,
        error_share=min(wrong / size, 1.0),
        functions=functions,
        classes=classes,
        comment_share=covered / size,
    )


def can_walk() -> bool:
    """Whether `parse` may walk. It loads compiled code, which costs as much as some 20 MB save."""
    from seedbed.kernels.source_code import tree_walk

    if not tree_walk.supported():
        return False
    parse(b"x", ("python",), walk=True)
    return True


class _Tools:
    """The parser of one grammar, and two ways to count its definitions and comments.

    Both give functions, classes, and the bytes that comments cover.
    """

    def __init__(self, grammar: str):
        language = get_language(grammar)  # type: ignore[arg-type]
        self._language = language
        self.parser = Parser(language)
        patterns = [
            f"({kind} body: (_)) @{capture}"
            if kind.endswith(_NEEDS_BODY)
            else f"({kind}) @{capture}"
            for capture, wanted in (
                ("function", FUNCTIONS),
                ("class", CLASSES),
                ("comment", COMMENTS),
            )
            for kind in sorted(wanted & _kinds(language))
        ]
        self._query = Query(language, "\n".join(patterns)) if patterns else None

    def queried(self, tree: Tree) -> tuple[int, int, int]:
        """The counts by a query, which runs in one pass in C."""
        found = QueryCursor(self._query).captures(tree.root_node) if self._query else {}
        comments = _covered(found.get("comment", []))
        return len(found.get("function", ())), len(found.get("class", ())), comments

    def walked(self, tree: Tree) -> tuple[int, int, int] | None:
        """The same counts by a walk. None where only the query can tell whether a class has a
        body."""
        from seedbed.kernels.source_code import tree_walk

        functions, classes, specifiers, covered = tree_walk.count(tree, self._roles)
        return None if specifiers else (functions, classes, covered)

    @cached_property
    def _roles(self) -> Any:
        from seedbed.kernels.source_code import tree_walk

        roles = dict.fromkeys(FUNCTIONS, tree_walk.FUNCTION)
        roles |= dict.fromkeys(COMMENTS, tree_walk.COMMENT)
        for kind in CLASSES:
            needs_body = kind.endswith(_NEEDS_BODY)
            roles[kind] = tree_walk.SPECIFIER if needs_body else tree_walk.CLASS
        return tree_walk.symbol_roles(self._language, roles)


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
