"""What a text says as Python: whether it is a program, what it defines, and what it lacks. Pure.

Nothing is run. The texts are a model's, so a `Reader` also bounds the work.
"""

from __future__ import annotations

import ast
import builtins
import html
import re
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from seedbed.sandbox.python_source import NOT_PYTHON

# Longer texts are not parsed. The sandbox runs no longer program (Limits.program_bytes).
LARGEST = 1 << 20
# Characters and texts that one reply may have parsed.
_CHARACTERS, _TEXTS = 16 << 20, 3_000
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#[0-9]{1,4}|#x[0-9a-fA-F]{1,4});")
_ENTITY_NAMES = {"lt", "gt", "amp", "quot", "apos", "nbsp"}
# How lines of code begin. It decides for texts that do not parse.
_CODE_LINE = re.compile(
    r"^[^\S\n]*(?:(?:async[^\S\n]+def|def|class)[^\S\n]+\w|import[^\S\n]+\w"
    r"|from[^\S\n]+\S+[^\S\n]+import\b|@\w|print[^\S\n]*\(|[A-Za-z_]\w{0,60}[^\S\n]*[-+*/%|&^]?=[^=]"
    r"|(?:for|while|if|with|try|else)\b[^\n]{0,200}:[^\S\n]*$)",
    re.MULTILINE,
)
_DOES = (
    ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
    | ast.Assign | ast.AugAssign | ast.For | ast.AsyncFor | ast.While | ast.If | ast.With
    | ast.AsyncWith | ast.Try | ast.TryStar | ast.Assert | ast.Raise | ast.Delete | ast.Match
    | ast.Return
)  # fmt: skip
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
# Statements that do nothing when a module that holds only such is run.
_SILENT = _DEFINITIONS | ast.Import | ast.ImportFrom | ast.Pass


@dataclass(frozen=True)
class PythonText:
    """A text that parses."""

    text: str
    tree: ast.Module

    @cached_property
    def is_program(self) -> bool:
        """Whether it does something, unlike a number, a word, or prose that happens to parse."""
        return any(map(_acts, self.tree.body))

    @cached_property
    def defines(self) -> frozenset[str]:
        """Names that its top level binds, also below an `if` or a loop."""
        found: set[str] = set()
        waiting: list[ast.AST] = list(self.tree.body)
        while waiting:
            node = waiting.pop()
            if isinstance(node, _DEFINITIONS):
                found.add(node.name)
                continue
            found |= _bound(node)
            waiting += ast.iter_child_nodes(node)
        return frozenset(found)

    @cached_property
    def lacks(self) -> frozenset[str]:
        """Names that it reads and nowhere binds."""
        bound: set[str] = set()
        read: set[str] = set()
        for node in ast.walk(self.tree):
            bound |= _bound(node)
            if isinstance(node, _DEFINITIONS):
                bound.add(node.name)
            elif isinstance(node, ast.arg):
                bound.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                read.add(node.id)
        return frozenset(read - bound - set(dir(builtins)))

    @cached_property
    def without_words(self) -> str:
        """The text without the sentences that parse, such as Done, before and behind the program.

        It is empty where nothing else is there.
        """
        body = self.tree.body
        does = [number for number, node in enumerate(body) if not _is_words(node)]
        if not does:
            return ""
        first, last = does[0], does[-1]
        start = (body[first - 1].end_lineno or 0) if first else 0
        lines = self.text.split("\n")
        end = len(lines) if last + 1 == len(body) else body[last + 1].lineno - 1
        return "\n".join(lines[start:end]).strip("\n") + "\n"

    @cached_property
    def acts(self) -> bool:
        """Whether running it does more than define."""
        return any(_acts(node) and not isinstance(node, _SILENT) for node in self.tree.body)

    @cached_property
    def prints(self) -> bool:
        """Whether it calls something that writes."""
        return bool(self._called & {"print", "write", "writelines", "pprint"})

    @cached_property
    def reads(self) -> bool:
        """Whether it reads its input."""
        names = {node.attr for node in ast.walk(self.tree) if isinstance(node, ast.Attribute)}
        return "input" in self._called or "stdin" in names or bool(self._called & {"open"})

    def is_stub(self, name: str) -> bool:
        """Whether it defines the function `name` without a body."""
        for node in self.tree.body:
            if isinstance(node, _DEFINITIONS) and node.name == name:
                return not any(map(_has_body, node.body))
        return False

    @cached_property
    def _called(self) -> set[str]:
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Name):
                    found.add(node.func.id)
                elif isinstance(node.func, ast.Attribute):
                    found.add(node.func.attr)
        return found


class Reader:
    """Parses the texts of one reply, each once, within a bound on all of them together.

    Beyond the bound nothing parses, so that a reply of a hundred megabytes costs no more than one.
    """

    def __init__(self) -> None:
        self._left = _CHARACTERS
        self._known: dict[str, PythonText | int] = {}

    def parse(self, text: str) -> PythonText | None:
        """The text as Python, None where it is none."""
        found = self._read(text)
        return None if isinstance(found, int) else found

    def failed_at(self, text: str) -> int:
        """The line, from 1, at which the parser gave up; 0 where it says none."""
        found = self._read(text)
        return found if isinstance(found, int) else 0

    def program(self, text: str) -> PythonText | None:
        """The text as a program, None where it does nothing or does not parse.

        Blanks that are no ASCII, and entities of HTML, are put right where it parses only then.
        """
        for candidate in _readings(text):
            found = self.parse(candidate)
            if found and found.is_program and not _entities(found):
                return found
        return None

    def _read(self, text: str) -> PythonText | int:
        if text not in self._known:
            if len(text) > min(LARGEST, self._left) or len(self._known) >= _TEXTS:
                return 0
            self._left -= len(text)
            self._known[text] = _parsed(text)
        return self._known[text]


def looks_like_code(text: str) -> bool:
    """Whether a line of the text begins as code does. It need not parse."""
    return _CODE_LINE.search(text, 0, LARGEST) is not None


def is_program(text: str) -> bool:
    """Whether there is a program to run, be it with errors in it."""
    found = _parsed(text) if len(text) <= LARGEST else 0
    return looks_like_code(text) if isinstance(found, int) else found.is_program


def names_in_tests(code: str, setup: str = "", more: Collection[str] = ()) -> frozenset[str]:
    """Names that test code reads and does not define: the program's.

    more: built-in names that mean the program's here.
    """
    tests, helpers = _parsed(code), _parsed(setup)
    if isinstance(tests, int):
        return frozenset(more)
    known = frozenset[str]() if isinstance(helpers, int) else helpers.defines
    return tests.lacks - known | frozenset(more)


def dedented(text: str) -> str:
    """The text without the margin that all its lines share."""
    lines = text.split("\n")
    margins = [line[: len(line) - len(line.lstrip(" \t"))] for line in lines if line.strip()]
    if not margins:
        return text
    least, most = min(margins), max(margins)
    shared = next((i for i, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), None)
    size = len(least) if shared is None else shared
    return "\n".join(line[size:] for line in lines) if size else text


def _parsed(text: str) -> PythonText | int:
    """The text as Python, or the line at which the parser gave up."""
    try:
        with warnings.catch_warnings():
            # "\d" in a model's string is no matter of ours.
            warnings.simplefilter("ignore")
            return PythonText(text, ast.parse(text))
    except SyntaxError as error:
        return error.lineno or 0
    except NOT_PYTHON:
        return 0


def _readings(text: str) -> list[str]:
    readings = [text]
    if "\xa0" in text or "\u200b" in text or "\ufeff" in text:
        readings.append(text.replace("\xa0", " ").replace("\u200b", "").replace("\ufeff", ""))
    if _ENTITY.search(text):
        readings += [html.unescape(text).replace("\xa0", " ")]
    return readings


def _entities(source: PythonText) -> bool:
    """Whether it reads names such as lt, which `x &lt; 5` makes of an entity."""
    return bool(source.lacks & _ENTITY_NAMES) and _ENTITY.search(source.text) is not None


def _acts(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return any(
            isinstance(part, ast.Call | ast.Await | ast.Yield | ast.YieldFrom)
            for part in ast.walk(node.value)
        )
    if isinstance(node, ast.AnnAssign):
        return node.value is not None
    return isinstance(node, _DOES)


def _is_words(node: ast.stmt) -> bool:
    """Whether it only reads names. A text may be the program's docstring."""
    return (
        isinstance(node, ast.Expr) and not _acts(node) and not isinstance(node.value, ast.Constant)
    )


def _bound(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        return {node.id}
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        return {node.name}
    return set()


def _has_body(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise):
        return not (node.exc and "NotImplementedError" in ast.dump(node.exc))
    return not isinstance(node, ast.Pass) and not (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )
