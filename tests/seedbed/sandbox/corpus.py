"""The forgery corpus as data: programs that try to pass without solving the problem, and the
problems they face.
"""

from __future__ import annotations

import re
from pathlib import Path

from seedbed.sandbox import CallTests, ProjectTests
from seedbed.sandbox.checks import generated

FOLDER = Path(__file__).parent / "forgeries"
PROGRAMS = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.py"))}

CASES = [((3, 4), 161), ((10, 1), 327), ((0, 5), 85), ((7, 7), 336)]
CHECK = f"""
CASES = {[(*arguments, expected) for arguments, expected in CASES]}


def check(candidate):
    try:
        candidate("x", None)
    except Exception:
        pass
    assert all(map(lambda case: candidate(case[0], case[1]) == case[2], CASES))
    for a, b, want in CASES:
        assert candidate(a, b) == want
    assert not candidate(1, 1) != 48
    assert abs(candidate(1, 0) - 31) < 1e-6
    assert candidate([1], 2) is not None
    assert isinstance(candidate(1, 1), int)
"""
# What a benchmark's check looks like: it asks for equality alone, and is the easier one to fool.
PLAIN_CHECK = "def check(candidate):\n" + "".join(
    f"    assert candidate{a} == {want}\n" for a, want in CASES
)
ENTRY_POINT = "mix"
TESTS = CallTests(f"{CHECK}\n\ncheck({ENTRY_POINT})\n")
PLAIN_TESTS = CallTests(f"{PLAIN_CHECK}\n\ncheck({ENTRY_POINT})\n")
HONEST = "def mix(a, b):\n    return 0 if isinstance(a, list) else a * 31 + b * 17\n"

# The same problem from a generator and a reference program.
GENERATED_TESTS = generated.differential(
    HONEST,
    "def generate_inputs(rng):\n    return {'a': rng.randint(0, 9), 'b': rng.randint(0, 9)}",
    ENTRY_POINT,
    8,
    1,
)

# One project: a module `shop` under hidden tests that ask for it in every way there is.
FORGED_PROJECTS = {
    path.stem: path.read_text()
    for path in sorted((FOLDER.parent / "forged_projects").glob("*.txt"))
}
SHOP_TESTS = (
    ("tests/help.py", "EXPECTED = 97.5\n"),
    (
        "tests/test_shop.py",
        """
import math
import unittest

import shop
from shop import *
from shop import Cart, Empty, split
from tests.help import EXPECTED


class TestShop(unittest.TestCase):
    def setUp(self):
        self.cart = Cart()

    def test_what_it_holds(self):
        self.cart.add("pear", 2.5)
        self.cart.add("apple", 47.5, 2)
        self.assertEqual(self.cart.items, ["pear", "apple"])
        self.assertEqual([name for name in self.cart], ["pear", "apple"])
        self.assertEqual(len(self.cart), 2)
        self.assertIn("apple", self.cart.items)
        self.assertNotIn("plum", self.cart.items)
        self.assertNotEqual(self.cart.items, ["pear"])

    def test_the_total(self):
        self.cart.add("pear", 2.5)
        self.cart.add("apple", 47.5, 2)
        self.assertAlmostEqual(self.cart.total(), EXPECTED)
        self.assertTrue(math.isclose(self.cart.total(), EXPECTED))
        self.assertLess(abs(self.cart.total() - EXPECTED), 1e-6)
        self.assertGreater(EXPECTED + 1, self.cart.total())

    def test_an_empty_cart(self):
        self.assertFalse(self.cart)
        with self.assertRaises(Empty) as caught:
            self.cart.cheapest()
        self.assertEqual(str(caught.exception), "no items")
        with self.assertRaises(shop.ShopError):
            self.cart.cheapest()

    def test_the_rest(self):
        self.assertIsInstance(self.cart, Cart)
        self.assertNotIsInstance(split("a,b"), Cart)
        self.assertEqual(split("a,b"), ["a", "b"])
        self.assertEqual(shop.RATE, 0.19)
        self.assertEqual(str(Cart() + self.cart), "a cart of 0")


if __name__ == "__main__":
    unittest.main()
""",
    ),
)
HONEST_SHOP = """
RATE = 0.19


class ShopError(Exception):
    pass


class Empty(ShopError):
    pass


class Cart:
    def __init__(self):
        self.items, self._prices = [], []

    def add(self, name, price, count=1):
        self.items.append(name)
        self._prices.append(price * count)

    def total(self):
        return sum(self._prices)

    def cheapest(self):
        if not self._prices:
            raise Empty("no items")
        return min(self._prices)

    def __len__(self):
        return len(self.items)

    def __iter__(self):
        return iter(self.items)

    def __add__(self, other):
        return self

    def __str__(self):
        return f"a cart of {len(self)}"


def split(text):
    return text.split(",")
"""
COMMANDS = (("python", "-m", "unittest", "tests.test_shop"), ("python", "tests/test_shop.py"))
_CASE = "class T(unittest.TestCase):\n    def test_it(self):\n        check(mix)\n"
SHOP = tuple(ProjectTests(SHOP_TESTS, command, target="shop.py") for command in COMMANDS)
# The corpus' function as a project.
MIX = ProjectTests(
    (("test_mix.py", f"import unittest\nfrom mix import mix\n\n\n{PLAIN_CHECK}\n\n" + _CASE),),
    ("python", "-m", "unittest"),
    target="mix.py",
)


def files(text: str) -> tuple[tuple[str, str], ...]:
    """The files of a forged project: each starts with a line `# file: PATH`."""
    parts = re.split(r"^# file: (.*)\n", text, flags=re.M)[1:]
    return tuple(zip(parts[::2], parts[1::2], strict=True))
