"""Programs and tests drawn at random from scenes, and what plain Python says of them.

A scene is a right program, faults that can be put into it, and lines of tests that hold for the
right one. A draw takes some faults and some lines. So plain Python passes some and fails others.
"""

from __future__ import annotations

import random
import textwrap
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scene:
    """faults: pairs (text of the program, what replaces it). lines: each stands alone."""

    program: str
    faults: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]


def _scene(program: str, faults: str, lines: str) -> Scene:
    pairs = [line.split(" => ") for line in textwrap.dedent(faults).strip().splitlines()]
    return Scene(
        textwrap.dedent(program).strip() + "\n",
        tuple((before, after) for before, after in pairs),
        tuple(textwrap.dedent(lines).strip().splitlines()),
    )


SCENES = (
    _scene(
        """
        class Vec:
            LIMIT = 3
            def __init__(self, x, y): self.x, self.y = x, y
            def __add__(self, o): return Vec(self.x + o.x, self.y + o.y)
            def __mul__(self, k): return Vec(self.x * k, self.y * k)
            __rmul__ = __mul__
            def __neg__(self): return Vec(-self.x, -self.y)
            def __abs__(self): return abs(self.x) + abs(self.y)
            def __eq__(self, o): return isinstance(o, Vec) and (self.x, self.y) == (o.x, o.y)
            def __hash__(self): return hash((self.x, self.y))
            def __bool__(self): return bool(self.x or self.y)
            def __repr__(self): return f"Vec({self.x}, {self.y})"
            def __iter__(self): return iter((self.x, self.y))
            def __getitem__(self, i): return (self.x, self.y)[i]
            @staticmethod
            def unit(): return Vec(1, 0)
            @classmethod
            def of(cls, pair): return cls(*pair)
            @property
            def norm(self): return self.x ** 2 + self.y ** 2
        """,
        """
        self.x + o.x => self.x - o.x
        self.x * k => self.x
        return Vec(-self.x, -self.y) => return self
        abs(self.x) + abs(self.y) => self.x
        (self.x, self.y) == (o.x, o.y) => self.x == o.x
        (self.x, self.y) == (o.x, o.y) => True
        return bool(self.x or self.y) => return False
        "Vec({self.x}, {self.y})" => "Vec{self.x}"
        iter((self.x, self.y)) => iter((self.y, self.x))
        return Vec(1, 0) => return Vec(0, 1)
        cls(*pair) => Vec(0, 0)
        self.x ** 2 => self.x
        LIMIT = 3 => LIMIT = 4
        """,
        """
        assert (Vec(1, 2) + Vec(3, 4)).x == 4
        assert Vec(1, 2) == Vec(1, 2)
        assert Vec(1, 2) != Vec(1, 3)
        assert not Vec(0, 0)
        assert Vec(1, 0)
        assert len({Vec(1, 2), Vec(1, 2), Vec(2, 1)}) == 2
        assert repr(Vec(1, 2)) == "Vec(1, 2)" and f"{Vec(3, 4)}" == "Vec(3, 4)"
        assert list(Vec(5, 6)) == [5, 6]
        assert abs(Vec(-3, 4)) == 7
        assert (-Vec(1, 2)).y == -2
        assert Vec.LIMIT == 3 and Vec(0, 1).LIMIT == 3
        assert Vec.unit() == Vec(1, 0)
        assert Vec.of((4, 5)).norm == 41
        assert isinstance(Vec.of((1, 1)), Vec) and type(Vec(1, 1)) is Vec
        assert Vec(1, 2) in [Vec(0, 0), Vec(1, 2)] and Vec(9, 9) not in [Vec(0, 0)]
        assert (Vec(2, 3) * 4).x == 8 and (5 * Vec(1, 2)).y == 10
        assert sum([Vec(1, 1), Vec(2, 2)], Vec(0, 0)) == Vec(3, 3)
        a, b = Vec(1, 1); assert (a, b) == (1, 1)
        v = Vec(1, 2); v.x = 9; assert v[0] == 9 and v is v and v is not Vec(9, 2)
        assert {Vec(1, 2): "a"}[Vec(1, 2)] == "a"
        assert type(Vec(1, 2)).__name__ == "Vec" and callable(Vec) and not callable(Vec(1, 2))
        """,
    ),
    _scene(
        """
        from collections import OrderedDict
        class LRUCache(OrderedDict):
            def __init__(self, capacity):
                super().__init__()
                self.capacity = capacity
            def get(self, key):
                if key not in self: return -1
                self.move_to_end(key)
                return self[key]
            def put(self, key, value):
                if key in self: self.move_to_end(key)
                self[key] = value
                if len(self) > self.capacity: self.popitem(last=False)
        class Stack(list):
            def push(self, x): self.append(x)
            def peek(self): return self[-1]
        class Tally(dict):
            def __missing__(self, key): return 0
            def add(self, key): self[key] += 1
        """,
        """
        self.move_to_end(key)\\n => pass\\n
        last=False => last=True
        return -1 => return None
        self[key] += 1 => self[key] = 1
        return 0 => return 1
        return self[-1] => return self[0]
        class Stack(list): => class Stack(list):  # s
        """,
        """
        c = LRUCache(2); c.put(1, 1); c.put(2, 2); assert c.get(1) == 1; c.put(3, 3); assert c.get(2) == -1
        c = LRUCache(1); c.put(1, 1); c.put(2, 2); assert c.get(1) == -1 and len(c) == 1
        c = LRUCache(3); c.put(1, 5); assert dict(c) == {1: 5} and isinstance(c, dict) and c == {1: 5}
        s = Stack(); s.push(1); s.push(2); assert s.peek() == 2 and s.pop() == 2 and len(s) == 1
        s = Stack([3, 4]); s.append(5); assert s == [3, 4, 5] and s[0] == 3 and sorted(s, reverse=True) == [5, 4, 3]
        s = Stack([1]); s += [2]; s[0] = 7; assert list(s) == [7, 2] and 2 in s and s
        t = Tally(); t.add("a"); t.add("a"); assert t["a"] == 2 and t["b"] == 0
        t = Tally(x=1); t["y"] = 3; del t["x"]; assert t == {"y": 3} and "x" not in t
        assert type(Tally()) is not dict and type(Stack()) is Stack and issubclass(Stack, list)
        assert not Stack() and Stack([1]) and [*Stack([1, 2])] == [1, 2]
        """,
    ),
    _scene(
        """
        from collections import namedtuple, deque, Counter, defaultdict
        from typing import NamedTuple
        from dataclasses import dataclass, field
        import datetime, decimal, fractions, uuid, pathlib, enum
        P = namedtuple("P", "x y")
        class E(NamedTuple):
            name: str
            size: int = 2
        @dataclass(order=True)
        class Point:
            x: int
            y: int = 5
            tags: list = field(default_factory=list)
        @dataclass(frozen=True)
        class Key:
            k: str
        class Color(enum.Enum):
            RED = 1
            BLUE = 2
        class Level(enum.IntEnum):
            LOW = 1
            HIGH = 3
        def make(x, y): return P(x, y)
        def entries(names): return [E(n, len(n)) for n in names]
        def point(x): return Point(x)
        def key(k): return Key(k)
        def color(n): return Color(n)
        def level(n): return Level(n)
        def day(y, n): return datetime.date(y, 1, 1) + datetime.timedelta(n - 1)
        def price(s): return decimal.Decimal(s) + decimal.Decimal("0.10")
        def half(n): return fractions.Fraction(n, 2)
        def ident(n): return uuid.UUID(int=n)
        def path(p): return pathlib.PurePosixPath(p) / "b"
        def queue(xs): return deque(xs, maxlen=2)
        def tally(s): return Counter(s)
        def groups(xs):
            d = defaultdict(list)
            for x in xs: d[x % 2].append(x)
            return d
        """,
        """
        return P(x, y) => return (x, y)
        return P(x, y) => return P(y, x)
        E(n, len(n)) => E(n)
        return Point(x) => return Point(x, 6)
        return Color(n) => return Color(3 - n)
        return Level(n) => return n
        n - 1 => n
        "0.10" => "0.1"
        Fraction(n, 2) => Fraction(n, 3)
        UUID(int=n) => UUID(int=n + 1)
        / "b" => / "c"
        maxlen=2 => maxlen=3
        return Counter(s) => return Counter(s + s)
        d[x % 2] => d[0]
        frozen=True => eq=False
        order=True => order=False
        """,
        """
        assert make(1, 2) == (1, 2)
        assert make(1, 2).x == 1 and make(3, 4)._asdict() == {"x": 3, "y": 4}
        a, b = make(5, 6); assert a + b == 11
        assert [e.name for e in entries(["a", "bc"])] == ["a", "bc"] and entries(["abc"])[0].size == 3
        assert isinstance(make(1, 2), tuple) and type(make(1, 2)) is not tuple
        assert point(1) == Point(1) and point(1).y == 5 and point(1) != Point(2)
        assert point(1) < point(2) and sorted([point(3), point(1)])[0].x == 1
        p = point(1); p.tags.append(4); assert p.tags == [4] and point(1).tags == []
        assert key("a") == key("a") and len({key("a"), key("a"), key("b")}) == 2
        assert color(1) is Color.RED and color(2).name == "BLUE" and color(1) != color(2)
        assert [c.value for c in Color] == [1, 2] and len(Color) == 2 and Color["RED"].value == 1
        assert level(3) == 3 and level(3) > level(1) and level(1).name == "LOW"
        assert day(2024, 60) == datetime.date(2024, 2, 29) and day(2024, 1).month == 1
        assert str(price("1.00")) == "1.10" and price("2") == decimal.Decimal("2.1")
        assert half(3) == fractions.Fraction(3, 2) and half(2) == 1
        assert ident(5) == uuid.UUID(int=5) and path("a") == pathlib.PurePosixPath("a/b")
        assert list(queue([1, 2, 3])) == [2, 3] and queue([1]).maxlen == 2
        assert tally("aab") == {"a": 2, "b": 1} and tally("xx").most_common(1) == [("x", 2)]
        g = groups([1, 2, 3]); assert g == {1: [1, 3], 0: [2]} and g[7] == []
        """,
    ),
    _scene(
        """
        import json, contextlib, asyncio
        class TooFew(ValueError):
            def __init__(self, have, want):
                super().__init__(f"have {have}, want {want}")
                self.have, self.want = have, want
        class Account:
            def __init__(self, n): self.n = n
            def take(self, k):
                if k > self.n: raise TooFew(self.n, k)
                self.n -= k
                return self.n
            def __enter__(self): return self
            def __exit__(self, *a): self.n = 0
            def __contains__(self, k): return k <= self.n
            def __len__(self): return self.n
            def __call__(self, k=1): return self.n * k
            def __int__(self): return self.n
            def __setitem__(self, k, v): self.n = v
            def __getitem__(self, k): return self.n + k
            def __lt__(self, o): return self.n < o.n
        def parse(s): return json.loads(s)
        def count(n):
            for i in range(n): yield i
        def echo():
            got = yield 0
            while True: got = yield got * 2
        def adder(a): return lambda b: a + b
        async def later(x):
            await asyncio.sleep(0)
            return x + 1
        def show(x): print("got", x)
        def ask(): return int(input()) * 2
        def change(xs, d): xs.sort(); d["k"] = len(xs)
        def first(xs): return next(iter(xs))
        def apply(f, xs): return [f(x) for x in xs]
        """,
        """
        raise TooFew(self.n, k) => return None
        raise TooFew(self.n, k) => raise KeyError(k)
        class TooFew(ValueError): => class TooFew(Exception):
        self.have, self.want = have, want => self.have = self.want = have
        self.n -= k => self.n += k
        def __exit__(self, *a): self.n = 0 => def __exit__(self, *a): pass
        return k <= self.n => return True
        self.n * k => self.n
        return self.n + k => return k
        return self.n < o.n => return self.n > o.n
        json.loads(s) => eval(s)
        range(n) => range(n + 1)
        got * 2 => got
        a + b => a
        x + 1 => x
        "got", x => "Got", x
        int(input()) * 2 => int(input())
        xs.sort() => xs.reverse()
        d["k"] = len(xs) => d["k"] = 0
        next(iter(xs)) => xs[0]
        f(x) for => x for
        """,
        """
        a = Account(5); assert a.take(2) == 3 and a.n == 3
        try:\\n    Account(1).take(2)\\n    assert False\\nexcept ValueError as e:\\n    assert "have 1" in str(e)
        try:\\n    Account(1).take(2)\\n    assert False\\nexcept TooFew as e:\\n    assert (e.have, e.want) == (1, 2)
        with Account(4) as a:\\n    assert a.n == 4\\nassert a.n == 0
        assert 3 in Account(4) and 5 not in Account(4)
        assert len(Account(4)) == 4 and not Account(0) and Account(2)(3) == 6 and int(Account(8)) == 8
        a = Account(1); a["x"] = 6; assert a.n == 6 and a[2] == 8
        assert min([Account(3), Account(1)]).n == 1 and Account(1) < Account(2)
        try:\\n    parse("{")\\n    assert False\\nexcept json.JSONDecodeError as e:\\n    assert e.pos == 1
        assert list(count(3)) == [0, 1, 2] and sum(count(4)) == 6 and 2 in count(3)
        g = echo(); next(g); assert g.send(5) == 10
        assert adder(2)(3) == 5 and apply(adder(1), [1, 2]) == [2, 3]
        import asyncio; assert asyncio.run(later(4)) == 5
        import io, contextlib; out = io.StringIO()\\nwith contextlib.redirect_stdout(out):\\n    show(3)\\nassert out.getvalue() == "got 3\\\\n"
        import io, sys; sys.stdin = io.StringIO("21\\\\n"); assert ask() == 42
        xs, d = [3, 1], {}; change(xs, d); assert xs == [1, 3] and d == {"k": 2}
        try:\\n    first([])\\n    assert False\\nexcept StopIteration:\\n    pass
        assert apply(lambda x: x * x, (1, 2)) == [1, 4] and apply(str, [1]) == ["1"]
        assert first(x for x in (7, 8)) == 7 and first(iter([1])) == 1
        """,
    ),
    _scene(
        """
        import abc, functools
        class Shape(abc.ABC):
            @abc.abstractmethod
            def area(self): ...
            def __str__(self): return f"{type(self).__name__} {self.area():.1f}"
        class Square(Shape):
            __slots__ = ("s",)
            def __init__(self, s): self.s = s
            def area(self): return float(self.s ** 2)
        class Node:
            def __init__(self, val, next=None): self.val, self.next = val, next
        @functools.total_ordering
        class Version:
            def __init__(self, s): self.p = tuple(map(int, s.split(".")))
            def __eq__(self, o): return self.p == o.p
            def __lt__(self, o): return self.p < o.p
            def __hash__(self): return hash(self.p)
        class Celsius(float):
            def f(self): return self * 9 / 5 + 32
        class Name(str):
            def shout(self): return self.upper() + "!"
        def build(xs):
            head = None
            for x in reversed(xs): head = Node(x, head)
            return head
        def same(n): return n
        def pair(): x = Node(1); return x, x
        def sizes(d): return d.keys(), d.values(), d.items()
        def grid(r, c): return [[0] * c for _ in range(r)]
        def loop(): x = []; x.append(x); return x
        def mix(a, b): return a * 31 + b
        def halves(x): return x / 2
        def word(s): return Name(s)
        def warm(x): return Celsius(x)
        PI = 3.25
        def circle(r): return PI * r * r
        """,
        """
        self.s ** 2 => self.s
        {self.area():.1f} => {self.area():.2f}
        Node(x, head) => Node(head, x)
        self.p == o.p => True
        self.p < o.p => self.p > o.p
        self * 9 / 5 => self * 5 / 9
        self.upper() => str(self)
        return n => return Node(n.val, n.next)
        return x, x => return x, Node(1)
        d.values() => d.keys()
        [[0] * c for _ in range(r)] => [[0] * c] * r
        a * 31 + b => a * 31 - b
        a * 31 + b => float(a * 31 + b)
        x / 2 => x // 2
        Name(s) => s
        Celsius(x) => x
        PI * r => r
        """,
        """
        assert Square(2).area() == 4.0 and str(Square(2)) == "Square 4.0"
        assert isinstance(Square(1), Shape) and issubclass(Square, Shape)
        try:\\n    Shape()\\n    assert False\\nexcept TypeError:\\n    pass
        n = build([1, 2]); assert n.val == 1 and n.next.val == 2 and n.next.next is None
        n = build([1]); assert same(n) is n and same(n) == n
        a, b = pair(); assert a is b
        assert Version("1.2") < Version("1.10") and Version("1.2") == Version("1.2")
        assert max(Version("1.2"), Version("1.3")).p == (1, 3) and len({Version("1"), Version("1")}) == 1
        assert warm(100.0).f() == 212.0 and warm(1.5) == 1.5 and warm(1.0) + 1 == 2.0
        assert word("hi").shout() == "HI!" and word("a") == "a" and word("ab")[0] == "a" and word("x") in {"x"}
        k, v, i = sizes({"a": 1}); assert k == {"a"} and list(v) == [1] and list(i) == [("a", 1)]
        g = grid(2, 2); g[0][0] = 1; assert g == [[1, 0], [0, 0]]
        x = loop(); assert x[0] is x
        assert mix(3, 4) == 97 and type(mix(1, 1)) is int
        assert isinstance(halves(3), float) and halves(3) == 1.5
        assert circle(2) == PI * 4
        class T:\\n    def __init__(self): self.val, self.next = 5, None\\nassert same(T()).val == 5
        """,
    ),
)


def draw(count: int, seed: int) -> list[tuple[str, str]]:
    """Pairs of a program and tests."""
    rng, found = random.Random(seed), []
    for _ in range(count):
        scene = rng.choice(SCENES)
        program = scene.program
        for before, after in rng.sample(scene.faults, rng.choice((0, 1, 1, 1, 2))):
            program = program.replace(_escaped(before), _escaped(after), 1)
        lines = rng.sample(scene.lines, min(len(scene.lines), rng.choice((2, 4, 6, 9))))
        found.append((program, "\n".join(map(_escaped, lines)) + "\n"))
    return found


def _escaped(text: str) -> str:
    return text.replace("\\n", "\n").replace("\\\n", "\\n")


# Reads pairs from stdin as Python, and prints which pass.
PLAIN = """
import builtins, os, sys, types, random
real = sys.stdin, sys.stdout, builtins.input
found = []
for program, tests in eval(sys.stdin.read()):
    sys.stdin, sys.stdout, builtins.input = real[0], open(os.devnull, "w"), real[2]
    random.seed(0)
    module = sys.modules["solution"] = types.ModuleType("solution")
    try:
        exec(compile(program, "<program>", "exec"), vars(module))
        exec(compile(tests, "<tests>", "exec"), {**vars(module), "__name__": "tests"})
        found.append(True)
    except BaseException:
        found.append(False)
sys.stdout = real[1]
print(found)
"""


def read(text: str) -> Any:
    return eval(text)
