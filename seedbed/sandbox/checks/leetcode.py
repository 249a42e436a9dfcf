"""Tests that call a class Solution with linked lists and trees, as LeetCode's do.

Such objects cannot pass between the program and its tests. So each side has an adapter that writes
a value as plain data: a table of the objects, each with its attributes, and the value with numbers
in the places of objects. Shared nodes and cycles keep their shape.
"""

from __future__ import annotations

import ast

from seedbed.sandbox.checks.prelude import CONTEST
from seedbed.sandbox.verdict import CallTests

# The usual classes, and helpers with the names that LeetCodeDataset's tests use. A prompt that
# defines its own replaces them.
HELPERS = """
class ListNode:
    def __init__(self, val=0, next=None):
        self.val, self.next = val, next


class TreeNode:
    def __init__(self, val=0, left=None, right=None):
        self.val, self.left, self.right = val, left, right


def list_node(values):
    head = None
    for value in reversed(values or []):
        head = ListNode(value, head)
    return head


def is_same_list(first, second):
    while first and second and first.val == second.val:
        first, second = first.next, second.next
    return first is None and second is None


def tree_node(values):
    # Level by level, with None for a missing child.
    if not values or values[0] is None:
        return None
    root, rest = TreeNode(values[0]), list(values[1:])
    row = [root]
    while rest and row:
        node = row.pop(0)
        for side in ("left", "right"):
            value = rest.pop(0) if rest else None
            if value is not None:
                setattr(node, side, TreeNode(value))
                row.append(getattr(node, side))
    return root


def is_same_tree(first, second):
    if first is None or second is None:
        return first is second
    return (
        first.val == second.val
        and is_same_tree(first.left, second.left)
        and is_same_tree(first.right, second.right)
    )
"""

# Both sides have this. _CLASSES gives the attributes of each class.
_PACKING = """
_CLASSES, _MARK = {classes!r}, "\\0object"


def _packed(value):
    table, places, waiting = [], {{}}, []

    def put(item):
        if type(item).__name__ in _CLASSES:
            if id(item) not in places:
                places[id(item)] = len(places)
                waiting.append(item)
            return _MARK, places[id(item)]
        if type(item) in (list, tuple):
            return type(item)(map(put, item))
        if type(item) is dict:
            return {{key: put(part) for key, part in item.items()}}
        return item

    root = put(value)
    for item in waiting:
        name = type(item).__name__
        fields = {{key: put(getattr(item, key, None)) for key in _CLASSES[name]}}
        table.append((name, fields))
    # A value without objects goes as it is, so that changes to it come back.
    return (_MARK, root, tuple(table)) if table else value


def _unpacked(value, scope):
    if type(value) is not tuple or len(value) != 3 or value[0] != _MARK:
        return value
    made = [object.__new__(scope[name]) for name, _ in value[2]]

    def get(item):
        if type(item) is tuple and len(item) == 2 and item[0] == _MARK:
            return made[item[1]]
        if type(item) in (list, tuple):
            return type(item)(map(get, item))
        if type(item) is dict:
            return {{key: get(part) for key, part in item.items()}}
        return item

    for item, (name, fields) in zip(made, value[2]):
        for key in _CLASSES[name]:
            setattr(item, key, get(fields[key]))
    return get(value[1])
"""
_ADAPTER = """
def _answer(given):
    arguments, named = _unpacked(given, globals())
    scope = globals()
    holder = scope.get({holder!r}) if {holder!r} else None
    if holder is not None:
        function = getattr(holder(), {name!r})
    elif {name!r} in scope:
        function = scope[{name!r}]
    else:
        raise NameError("the program defines neither {holder} nor {name}")
    return _packed(function(*arguments, **named))
"""
_SETUP = """
def _candidate(*arguments, **named):
    return _unpacked(_answer(_packed((arguments, named))), globals())
"""


def class_calls(test: str, prompt: str, entry: str) -> CallTests:
    """Tests by a function check(candidate), where the candidate is `entry`.

    prompt: imports and classes that the program and the tests share.
    entry: like Solution().twoSum, or the name of a function.
    """
    holder, _, name = entry.partition("().")
    if not name:
        holder, name = "", entry
    shared = HELPERS + prompt
    packing = _PACKING.format(classes=_attributes(shared))
    return CallTests(
        f"{test}\n\ncheck(_candidate)\n",
        CONTEST + shared + packing + _SETUP,
        prelude=CONTEST + shared,
        adapter=packing + _ADAPTER.format(holder=holder, name=name),
    )


def _attributes(code: str) -> dict[str, tuple[str, ...]]:
    """The attributes that each class of the code sets on self.

    Raises SyntaxError for code that is no Python.
    """
    found: dict[str, tuple[str, ...]] = {}
    for node in ast.parse(code).body:
        if isinstance(node, ast.ClassDef):
            names = {
                part.attr: None
                for part in ast.walk(node)
                if isinstance(part, ast.Attribute)
                and isinstance(part.ctx, ast.Store)
                and isinstance(part.value, ast.Name)
                and part.value.id == "self"
            }
            found[node.name] = tuple(names)
    return found
