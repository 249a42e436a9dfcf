"""The mutants of a source file: cosmic-ray's operators and five of our own, without repeats."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

from scripts.mutation.operators import OPERATORS

# Of cosmic-ray's operators those that make faults which people make. It has 11 for every sign
# and 7 for every comparison, of which most are killed by whatever kills these.
_CHOSEN = {
    "ReplaceComparisonOperator_": "Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE "
    "GtE_Gt GtE_Lt Is_IsNot IsNot_Is",
    "ReplaceBinaryOperator_": "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_FloorDiv Pow_Mul "
    "RShift_LShift LShift_RShift BitOr_BitAnd BitAnd_BitOr BitXor_BitAnd",
    "ReplaceUnaryOperator_Delete_": "Not USub Invert",
    "Replace": "TrueWithFalse FalseWithTrue AndWithOr OrWithAnd BreakWithContinue "
    "ContinueWithBreak",
    "": "AddNot ExceptionReplacer NumberReplacer ZeroIterationForLoop",
}
NAMES = [f"core/{kind}{end}" for kind, ends in _CHOSEN.items() for end in ends.split()]


@dataclass(frozen=True)
class Mutant:
    """One change of one place.

    line: the number of the first changed line, from 1.
    before, after: the changed lines without the spaces around them; several are joined by spaces.
    code: the whole file with the change.
    """

    line: int
    before: str
    after: str
    code: str

    @property
    def change(self) -> str:
        """What names it in equivalent.toml: it holds while lines above come and go."""
        return f"{self.before} -> {self.after}"


def mutants(source: str) -> list[Mutant]:
    """All mutants of a file, in an order that is fixed and mixes its functions, so that a run that
    is cut short has a fair sample."""
    tree = get_ast(source)
    passive = _passive(ast.parse(source))
    found: dict[str, Mutant] = {}
    for operator in (*(get_operator(name)() for name in NAMES), *(kind() for kind in OPERATORS)):
        places = [place for node in ast_nodes(tree) for place in operator.mutation_positions(node)]
        for occurrence, (start, end) in enumerate(places):
            if any(low <= start and end <= high for low, high in passive):
                continue
            code = mutate_code(source, operator, occurrence)
            if code is None or code in found or not _compiles(code):
                continue
            found[code] = _mutant(source, code)
    return sorted(found.values(), key=lambda m: hashlib.sha256(m.code.encode()).digest())


def _compiles(code: str) -> bool:
    try:
        compile(code, "mutant", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def _mutant(source: str, code: str) -> Mutant:
    old, new = source.split("\n"), code.split("\n")
    shorter = min(len(old), len(new))
    first = next(i for i in range(shorter) if old[i] != new[i])
    same = 0
    while same < shorter - first and old[-1 - same] == new[-1 - same]:
        same += 1

    def text(lines: list[str]) -> str:
        return " ".join(line.strip() for line in lines[first : len(lines) - same])

    return Mutant(first + 1, text(old), text(new), code)


def _passive(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Spans of what does nothing when it runs, or whose change says nothing of a test: type
    annotations, decorators, the texts of errors, imports for type checkers, and zip's strict=True,
    which only a fault elsewhere can trip."""
    return [
        ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))
        for node in _passive_nodes(tree)
    ]


def _passive_nodes(tree: ast.Module) -> Iterator[Any]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            every = (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
            yield from (arg.annotation for arg in every if arg and arg.annotation)
            yield from node.decorator_list
            if node.returns:
                yield node.returns
        elif isinstance(node, ast.ClassDef):
            yield from node.decorator_list
        elif isinstance(node, ast.AnnAssign):
            yield node.annotation
        elif isinstance(node, ast.Call) and _is_error(node.func):
            yield from node.args
        elif _is_safeguard(node):
            yield node


def _is_error(function: ast.expr) -> bool:
    return isinstance(function, ast.Name) and function.id.endswith("Error")


def _is_safeguard(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
