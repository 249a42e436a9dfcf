"""Counts definitions and comments in a syntax tree: a compiled walk in place of a query.

A query of tree-sitter visits every node by a cursor and takes a quarter of the time of parsing. The
walk reads the same nodes where tree-sitter's library keeps them, in 64-bit little-endian memory.
That layout is private, so the walk is for the versions in VERSIONS alone; others have the query,
which gives the same counts.

Sources of the offsets, all of tree-sitter 0.26: SubtreeInlineData and SubtreeHeapData in
lib/src/subtree.h, TSTree in lib/src/tree.h, TSLanguage in lib/src/parser.h; of py-tree-sitter 0.26:
Tree in tree_sitter/binding/types.h.
"""

from __future__ import annotations

import struct
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from tree_sitter import Language, Tree

from seedbed.kernels.native import native

VERSIONS = ("0.26.0", "0.26.1")
# What a node is to the walk. A specifier defines a class only with a body, which is a field.
NOTHING, FUNCTION, CLASS, COMMENT, SPECIFIER = range(5)
_SYMBOLS = 1 << 16
# Of an object in CPython: reference count and type. The tree's address follows them.
_OBJECT_HEAD = object.__basicsize__


def supported() -> bool:
    """Whether this machine and the installed library have the layout that the walk reads."""
    return (
        version("tree-sitter") in VERSIONS
        and sys.byteorder == "little"
        and struct.calcsize("P") == 8
        and sys.implementation.name == "cpython"
    )


def symbol_roles(language: Language, roles: dict[str, int]) -> np.ndarray:
    """What each symbol of a grammar is to the walk, uint8 (65536,).

    roles: the role of each kind of node; kinds that are missing are NOTHING.
    """
    found = np.zeros(_SYMBOLS, np.uint8)
    for number in range(language.node_kind_count):
        if language.node_kind_is_named(number) and language.node_kind_is_visible(number):
            found[number] = roles.get(language.node_kind_for_id(number) or "", NOTHING)
    return found


def count(tree: Tree, roles: np.ndarray) -> tuple[int, int, int, int]:
    """Functions, classes, specifiers, and bytes that comments cover in `tree`.

    roles: of symbol_roles. The caller has asked `supported`.
    """
    functions, classes, covered, specifiers = _walk(id(tree) + _OBJECT_HEAD, roles)
    return functions, classes, specifiers, covered


def _loader(result: Any, bits: int) -> Any:
    """A function of compiled code: the unsigned integer of `bits` at an address."""

    @intrinsic  # type: ignore[untyped-decorator]
    def load(_: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer())
            value = builder.load(pointer)
            return value if bits == 64 else builder.zext(value, ir.IntType(64))

        return types.int64(types.int64), generate

    return load


_load64 = _loader(types.int64, 64)
_load32 = _loader(types.int64, 32)
_load16 = _loader(types.int64, 16)


@native
def _walk(holder: int, roles: np.ndarray) -> tuple[int, int, int, int]:
    """Functions, classes, bytes under outermost comments, specifiers; holder: of the TSTree's
    address.

    Nodes are disjoint or nested, so no positions are needed.
    """
    functions = classes = covered = specifiers = 0
    tree = _load64(holder)
    language = _load64(tree + 8)
    width, aliases = _load16(language + 36), _load64(language + 128)
    # Addresses of nodes with children. They are multiples of eight: the lowest bit is free, and
    # says that the node lies in a comment.
    waiting = np.empty(1024, np.int64)
    size = 0
    # The root is seen as an only child, at the address that holds it.
    first, number, row, within = tree, 1, 0, 0
    while True:
        if size + number > waiting.shape[0]:
            larger = np.empty(2 * (size + number), np.int64)
            larger[:size] = waiting[:size]
            waiting = larger
        structural = 0
        for i in range(number):
            node = _load64(first + 8 * i)
            if node & 1:
                symbol, visible, extra = (node >> 8) & 255, (node >> 1) & 1, (node >> 3) & 1
            else:
                bits = _load16(node + 44)
                symbol, visible, extra = _load16(node + 40), bits & 1, (bits >> 2) & 1
            if not extra:
                if row:
                    alias = _load16(row + 2 * structural)
                    if alias:
                        symbol, visible = alias, 1
                structural += 1
            inside = within
            role = roles[symbol] if visible else 0
            if role == FUNCTION:
                functions += 1
            elif role == CLASS:
                classes += 1
            elif role == SPECIFIER:
                specifiers += 1
            elif role == COMMENT and not within:
                inside = 1
                covered += (node >> 56) & 255 if node & 1 else _load32(node + 16)
            if not node & 1 and _load32(node + 36):
                waiting[size] = node | inside
                size += 1
        if size == 0:
            return functions, classes, covered, specifiers
        size -= 1
        within = waiting[size] & 1
        node = waiting[size] - within
        number = _load32(node + 36)
        # Children lie in front of their parent.
        first = node - 8 * number
        production = _load16(node + 66)
        row = aliases + 2 * production * width if production else 0
