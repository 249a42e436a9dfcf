"""Mutation operators that cosmic-ray lacks: a setting that is not handed on, a step that is left
out, a wrong extreme, membership turned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cosmic_ray.operators.operator import Operator
from parso.python.tree import ExprStmt, Keyword, Name, PythonNode
from parso.python.tree import Operator as Sign

# Positions as cosmic-ray wants them: ((line, column), (line, column)) of what is replaced.
Positions = Iterator[tuple[tuple[int, int], tuple[int, int]]]

# Names of functions that are taken for one another, and signs of assignments.
TWINS = {"min": "max", "max": "min", "floor": "ceil", "ceil": "floor", "any": "all", "all": "any"}
ASSIGNMENTS = {"+=": "-=", "-=": "+=", "*=": "+=", "|=": "&=", "&=": "|=", "^=": "|="}


class TwinName(Operator):
    """min for max, floor for ceil, any for all, and the other way round."""

    def mutation_positions(self, node: Any) -> Positions:
        if isinstance(node, Name) and node.value in TWINS and not node.is_definition():
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.value = TWINS[node.value]
        return node

    @classmethod
    def examples(cls) -> tuple:
        return ()


class AssignmentSign(Operator):
    """-= for += and the like."""

    def mutation_positions(self, node: Any) -> Positions:
        if isinstance(node, Sign) and node.value in ASSIGNMENTS:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.value = ASSIGNMENTS[node.value]
        return node

    @classmethod
    def examples(cls) -> tuple:
        return ()


class Membership(Operator):
    """`not in` for `in`, and the other way round."""

    def mutation_positions(self, node: Any) -> Positions:
        if getattr(node, "type", "") != "comparison":
            return
        for part in [part for part in node.children[1::2] if self._turned(part)]:
            yield part.start_pos, part.end_pos

    @staticmethod
    def _turned(part: Any) -> str | None:
        return {"in": "not in", "not in": "in"}.get(" ".join(part.get_code().split()))

    def mutate(self, node: Any, index: int) -> Any:
        places = [i for i in range(1, len(node.children), 2) if self._turned(node.children[i])]
        part = node.children[places[index]]
        node.children[places[index]] = Keyword(self._turned(part), part.start_pos, " ")
        return node

    @classmethod
    def examples(cls) -> tuple:
        return ()


class DropKeyword(Operator):
    """A call without one of its keyword arguments: its default takes the place of the setting."""

    def _places(self, node: Any) -> list[int]:
        if getattr(node, "type", "") != "arglist":
            return []
        return [i for i, part in enumerate(node.children) if _is_keyword(part)]

    def mutation_positions(self, node: Any) -> Positions:
        if getattr(node, "type", "") == "trailer" and _is_keyword(node.children[1]):
            yield node.children[1].start_pos, node.children[1].end_pos
        # The node changes while cosmic-ray goes through its positions.
        for part in [node.children[place] for place in self._places(node)]:
            yield part.start_pos, part.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        if node.type == "trailer":
            del node.children[1]
        else:
            place = self._places(node)[index]
            # the argument and the comma after it
            del node.children[place : place + 2]
        return node

    @classmethod
    def examples(cls) -> tuple:
        return ()


class DropStatement(Operator):
    """`pass` for a call whose answer nobody takes, for a raise, and for a += b and the like."""

    def mutation_positions(self, node: Any) -> Positions:
        if getattr(node, "type", "") == "simple_stmt" and _can_go(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        first = node.children[0]
        prefix = first.get_first_leaf().prefix
        node.children[0] = Keyword("pass", first.start_pos, prefix)
        return node

    @classmethod
    def examples(cls) -> tuple:
        return ()


def _is_keyword(part: Any) -> bool:
    return (
        getattr(part, "type", "") == "argument"
        and isinstance(part.children[0], Name)
        and part.children[1].get_code().strip() == "="
    )


def _can_go(part: Any) -> bool:
    if isinstance(part, ExprStmt):
        return part.children[1].get_code().strip() in ASSIGNMENTS
    kind = getattr(part, "type", "")
    if kind in ("raise_stmt", "del_stmt"):
        return True
    last = part.children[-1] if isinstance(part, PythonNode) else None
    return kind == "atom_expr" and last.type == "trailer" and last.children[0].value == "("


OPERATORS = (TwinName, AssignmentSign, Membership, DropKeyword, DropStatement)
