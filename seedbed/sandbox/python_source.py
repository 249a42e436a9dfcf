"""Foreign text as Python's syntax tree. Nothing of it is run."""

from __future__ import annotations

import ast
import warnings

# What the parser raises for text that is no Python. The last two come from nesting that is too deep
# for it.
NOT_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)


def tree(text: str) -> ast.Module | None:
    """The syntax tree of a text; None where the text is no Python."""
    try:
        return _parsed(text)
    except NOT_PYTHON:
        return None


def is_broken(text: str) -> bool:
    """Whether no Python runs a text. One that is too deep for the parser may still run."""
    try:
        _parsed(text)
    except SyntaxError:
        return True
    except NOT_PYTHON:
        return False
    return False


def _parsed(text: str) -> ast.Module:
    with warnings.catch_warnings():
        # "\d" in a program's string is no matter of ours.
        warnings.simplefilter("ignore")
        return ast.parse(text)


def nodes(text: str) -> list[ast.AST]:
    """All nodes of the tree of a text; none where the text is no Python."""
    found = tree(text)
    return [] if found is None else list(ast.walk(found))


def body(text: str) -> list[ast.stmt]:
    """The statements of a text; none where the text is no Python."""
    found = tree(text)
    return [] if found is None else found.body
