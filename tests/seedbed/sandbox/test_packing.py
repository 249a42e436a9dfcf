"""Linked lists and trees as plain data, without a process: both sides' adapters are run here."""

from __future__ import annotations

from typing import Any

import pytest

from seedbed.sandbox.checks import leetcode


def side() -> dict[str, Any]:
    tests = leetcode.class_calls("", "", "Solution().f")
    scope: dict[str, Any] = {}
    exec(tests.prelude, scope)
    exec(tests.adapter, scope)
    return scope


def crossed(value: Any) -> tuple[Any, dict[str, Any]]:
    """A value of one side as the other has it, by way of plain data alone."""
    here, there = side(), side()
    plain = here["_packed"](value(here))
    return there["_unpacked"](eval(repr(plain)), there), there


def test_lists_and_trees_arrive_as_the_other_sides_classes() -> None:
    found, there = crossed(lambda here: [here["list_node"]([1, 2]), here["list_node"]([])])
    assert type(found[0]) is there["ListNode"]
    assert there["is_same_list"](found[0], there["list_node"]([1, 2]))
    assert found[1] is None
    values = [1, None, 2, 3]
    found, there = crossed(lambda here: {"root": here["tree_node"](values)})
    assert there["is_same_tree"](found["root"], there["tree_node"](values))
    assert (found["root"].right.left.val, found["root"].left) == (3, None)


def test_shared_nodes_and_cycles_keep_their_shape() -> None:
    def ring(here: dict[str, Any]) -> Any:
        head = here["list_node"]([1, 2])
        head.next.next = head
        return (head, head.next)

    (head, second), _ = crossed(ring)
    assert head.next is second
    assert second.next is head


def test_a_long_list_needs_no_deep_recursion() -> None:
    found, _ = crossed(lambda here: here["list_node"](list(range(30_000))))
    for number in range(30_000):
        assert found.val == number
        found = found.next
    assert found is None


def test_values_without_objects_go_as_they_are() -> None:
    here, value = side(), [1, {"a": (2, None)}]
    assert here["_packed"](value) is value
    assert here["_unpacked"](value, here) is value


@pytest.mark.parametrize(
    "answer", [("\0object", ("\0object", 3), ()), ("\0object", 1, (("Other", {}),))]
)
def test_a_forged_answer_makes_nothing_but_an_error(answer: Any) -> None:
    here = side()
    with pytest.raises((IndexError, KeyError)):
        here["_unpacked"](answer, here)
