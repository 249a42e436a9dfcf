"""Functions that a model of a few million parameters can learn to write.

They stand in for contest problems on a laptop. Each problem asks for a function f(xs) that filters
a list of integers, maps the rest and reduces it: "the sum of the squares of the even numbers in
xs". A function is a triple of parts. Held-out triples show whether a model has learnt to read the
parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from random import Random
from typing import Any


@dataclass(frozen=True)
class Part:
    """One choice for a part: its wordings, its code, and a function that computes the same."""

    name: str
    wordings: tuple[str, ...]
    code: str
    reference: Callable[..., Any]


@dataclass(frozen=True)
class ToyFunction:
    """One function f(xs): it filters, then maps, then reduces."""

    reduce: Part
    map: Part
    filter: Part

    @property
    def name(self) -> str:
        """Identity of the function, and the task_id of its problem."""
        return f"{self.reduce.name}/{self.map.name}/{self.filter.name}"

    @property
    def code(self) -> str:
        """The expression that f(xs) returns."""
        return self.reduce.code.format(f"{self.map.code} for x in xs if {self.filter.code}")

    def wording(self, rng: Random) -> str:
        """A random wording of what the function returns."""
        reduce, mapping, kept = (
            rng.choice(part.wordings) for part in (self.reduce, self.map, self.filter)
        )
        return f"{reduce} {mapping} {kept}".replace("  ", " ")

    def reference(self, xs: list[int]) -> Any:
        """The expected value of f(xs).

        Raises:
            ValueError: where there is none, such as the largest of no numbers.
        """
        return self.reduce.reference(
            [self.map.reference(x) for x in xs if self.filter.reference(x)]
        )

    def neighbours(self) -> Iterator[ToyFunction]:
        """Every function that differs in one part: what a model writes that misreads one word."""
        yield from (replace(self, reduce=part) for part in REDUCES if part is not self.reduce)
        yield from (replace(self, map=part) for part in MAPS if part is not self.map)
        yield from (replace(self, filter=part) for part in FILTERS if part is not self.filter)


REDUCES = (
    Part("list", ("a list of", "all"), "[{}]", lambda v: v),
    Part("sum", ("the sum of", "the total of"), "sum({})", sum),
    Part("count", ("how many there are of", "the number of"), "len([{}])", len),
    Part("largest", ("the largest of", "the maximum of"), "max({})", max),
    Part("smallest", ("the smallest of", "the minimum of"), "min({})", min),
    Part("ascending", ("the sorted list of", "the list in rising order of"), "sorted({})", sorted),
    Part(
        "reversed",
        ("the reversed list of", "the list back to front of"),
        "[{}][::-1]",
        lambda v: v[::-1],
    ),
)
PLAIN = Part("itself", ("",), "x", lambda x: x)
MAPS = (
    PLAIN,
    Part("double", ("the doubles of",), "x * 2", lambda x: x * 2),
    Part("triple", ("the triples of",), "x * 3", lambda x: x * 3),
    Part("square", ("the squares of",), "x ** 2", lambda x: x**2),
    Part("cube", ("the cubes of",), "x ** 3", lambda x: x**3),
    Part("half", ("the halves of",), "x // 2", lambda x: x // 2),
    Part("negative", ("the negatives of",), "-x", lambda x: -x),
    Part("size", ("the absolute values of",), "abs(x)", abs),
    Part("next", ("the successors of",), "x + 1", lambda x: x + 1),
    Part("digit", ("the remainders by ten of",), "x % 10", lambda x: x % 10),
)
FILTERS = (
    Part("even", ("the even numbers in xs",), "x % 2 == 0", lambda x: x % 2 == 0),
    Part("odd", ("the odd numbers in xs",), "x % 2 == 1", lambda x: x % 2 == 1),
    Part("positive", ("the positive numbers in xs",), "x > 0", lambda x: x > 0),
    Part("negative", ("the negative numbers in xs",), "x < 0", lambda x: x < 0),
    Part("nonzero", ("the non-zero numbers in xs",), "x != 0", lambda x: x != 0),
    Part("nonnegative", ("the natural numbers in xs",), "x >= 0", lambda x: x >= 0),
    Part("long", ("the numbers in xs of two digits",), "x > 9", lambda x: x > 9),
    Part("round", ("the multiples of ten in xs",), "x % 10 == 0", lambda x: x % 10 == 0),
    Part("unit", ("the ones in xs",), "x == 1", lambda x: x == 1),
)


def functions() -> Iterator[ToyFunction]:
    """All functions, in a fixed order.

    Counting is combined with no map, because there are as many squares as numbers.
    """
    for reduce, mapping, kept in product(REDUCES, MAPS, FILTERS):
        if reduce.name != "count" or mapping is PLAIN:
            yield ToyFunction(reduce, mapping, kept)


def draw_input(rng: Random) -> list[int]:
    """A list of integers near the constants of the filters, with negatives, zeros and repeats."""
    return [rng.randint(-6, 14) for _ in range(rng.randint(6, 12))]
