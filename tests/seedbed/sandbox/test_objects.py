"""Objects of a program in the tests: as in one process, and judged twice."""

from __future__ import annotations

import pytest

from seedbed.sandbox import CallTests, Job, Sandbox
from tests.seedbed.sandbox.test_verdicts import verdict

CASES = {
    "a subclass of a dict keeps its methods": (
        "class C(dict):\n    def put(s, k): s[k] = 1\n    def get(s, k): return s.pop(k, -1)",
        "c = C()\nc.put(4)\nassert c == {4: 1} and c.get(4) == 1 and c.get(4) == -1 and not c",
    ),
    "a subclass of a float has both sides": (
        "class T(float):\n    def twice(s): return s * 2\ndef f(x): return T(x)",
        "assert f(1.5).twice() == 3.0 and f(1.5) == 1.5 and f(2.0) - 1 == 1.0",
    ),
    "equality and hash of two objects": (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass P:\n    x: int",
        "assert P(1) == P(1) and P(1) != P(2) and len({P(1), P(1), P(2)}) == 2",
    ),
    "truth, text and membership": (
        "class B:\n    def __init__(s, x): s.x = set(x)\n    def __bool__(s): return bool(s.x)\n"
        "    def __contains__(s, v): return v in s.x\n    def __str__(s): return '<b>'",
        "assert B([7]) and not B([]) and 7 in B([7]) and 8 not in B([7]) and f'{B([])}' == '<b>'",
    ),
    "operators with numbers": (
        "class V:\n    def __init__(s, x): s.x = x\n    def __rmul__(s, k): return V(s.x * k)",
        "assert (3 * V(2)).x == 6",
    ),
    "class attributes, static methods and isinstance": (
        "class A:\n    N = 3\n    @staticmethod\n    def f(): return 4\nclass B(A): pass",
        "assert A.N == 3 and A.f() == 4 and isinstance(B(), A) and type(B()) is B "
        "and type(B()).__name__ == 'B'",
    ),
    "dates, paths and decimals": (
        "import datetime, pathlib\ndef f(d): return d + datetime.timedelta(1)\n"
        "def g(p): return pathlib.PurePosixPath(p) / 'b'",
        "import datetime, pathlib\nday = datetime.date\n"
        "assert f(day(2024, 2, 28)) == day(2024, 2, 29)\n"
        "assert g('a') == pathlib.PurePosixPath('a/b')",
    ),
    "exceptions with what they carry": (
        "class Few(ValueError):\n    def __init__(s, n):\n        super().__init__('few')\n"
        "        s.n = n\ndef f(): raise Few(3)",
        "try:\n    f()\n    assert False\nexcept Few as e:\n"
        "    assert e.n == 3 and str(e) == 'few'",
    ),
    "an exit and an end that the tests catch": (
        "def f(): raise SystemExit(2)\ndef g(x): return next(iter(x))",
        "for call in (f, lambda: None):\n    try:\n        call()\n    except SystemExit as e:\n"
        "        assert e.code == 2\ntry:\n    g([])\n    assert False\nexcept StopIteration:\n"
        "    pass",
    ),
    "iterators of Python itself": (
        "def f(): return zip([1], [2])\ndef g(x): return reversed(x)",
        "assert list(f()) == [(1, 2)] and list(g([1, 2])) == [2, 1] and 2 in g([2])",
    ),
    "coroutines": (
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x + 1",
        "import asyncio\nassert asyncio.run(f(1)) == 2",
    ),
    "objects and iterators of the tests": (
        "def f(n):\n    out = []\n    while n:\n        out.append(n.v)\n        n = n.next\n"
        "    return out\ndef g(it): return sum(it)",
        "class N:\n    def __init__(s, v, n=None): s.v, s.next = v, n\n"
        "assert f(N(1, N(2))) == [1, 2] and g(x for x in (1, 2)) == 3",
    ),
    "what the tests put around a program": (
        "import os, random\n"
        "def f(): return int(input()) + int(os.environ['K']) + random.randint(0, 9)"
        "\ndef g(): print('out')",
        "import contextlib, io, os, random, sys\nsys.stdin = io.StringIO('5\\n6\\n')\n"
        "os.environ['K'] = '1'\nrandom.seed(3)\nwant = random.randint(0, 9)\nrandom.seed(3)\n"
        "assert f() == 6 + want\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n"
        "    g()\nassert out.getvalue() == 'out\\n'",
    ),
    "a list inside an object": (
        "class P:\n    def __init__(s): s.t = []\n    def n(s): return len(s.t)\n"
        "    def add(s): s.t.append(0)",
        "p = P()\np.t.append(4)\nassert p.n() == 1\np.add()\nassert p.t == [4, 0]",
    ),
    "constants and modules of the program": (
        "import math\nPI = 3\ndef f(x): return x * PI",
        "assert f(2) == 2 * PI and math.floor(f(1)) == 3",
    ),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_tests_see(sandbox: Sandbox, case: str) -> None:
    found = verdict(sandbox, *CASES[case], memory_bytes=512 << 20)
    assert (found.verdict, found.reason) == ("pass", "")


WRONG = {
    "a false truth": ("class A:\n    def __bool__(s): return False", "assert A()"),
    "one hash for all": (
        "class K:\n    def __init__(s, n): pass\n    def __eq__(s, o): return True\n"
        "    def __hash__(s): return 1",
        "assert len({K(1), K(2)}) == 2",
    ),
    "an equal to all": (
        "class C:\n    def __eq__(s, o): return True",
        "assert C() not in [C(), C()]",
    ),
    "a subclass for a dict": (
        "class D(dict): pass\ndef f(): return D()",
        "assert type(f()) is dict",
    ),
    "a subclass for an int": (
        "class B(int): pass\ndef f(): return B(1)",
        "assert type(f()) is int",
    ),
    "another order": (
        "class V:\n    def __init__(s, n): s.n = n\n    def __lt__(s, o): return s.n > o.n",
        "assert min([V(1), V(2)]).n == 1",
    ),
}


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_a_wrong_program_fails_for(sandbox: Sandbox, case: str) -> None:
    assert verdict(sandbox, *WRONG[case]).verdict == "fail"


# Each passes in one process, where it meets or fools its tests. Sealed it shows nothing.
YES = (
    "class Y:\n    def __init__(s, *a): pass\n"
    "    def __eq__(s, o): return True\n    def __ne__(s, o): return True\n"
    "    def __lt__(s, o): return True\n    __gt__ = __le__ = __ge__ = __contains__ = __lt__\n"
    "    def __sub__(s, o): return 0\n    __rsub__ = __abs__ = __sub__\n"
    "    def __hash__(s): return 1\n"
    "    def __exit__(s, *a): return True\n    def __enter__(s): return s\n"
)
MIX = YES + "def mix(*a): return Y()\n"
FORGED = {
    "equals what is expected": (MIX, "assert mix(3, 4) == 97"),
    "is the class that is asked for": (YES + "mix = Y", "assert mix(3, 4) == 97"),
    "differs from nothing": (MIX, "assert not mix(1) != 97 or mix(1) == 97"),
    "holds what is expected": (MIX, "assert 97 in mix(3, 4)"),
    "holds it as a class": (YES.replace("Y:", "Mix:"), "assert 97 in Mix(3, 4)"),
    "has no difference from it": (MIX, "assert abs(mix(3, 4) - 97) < 1e-9"),
    "is a class with a capital letter": (YES.replace("Y:", "Mix:"), "assert abs(Mix(3) - 97) < 1"),
    "has a length without items": (
        YES + "    def __len__(s): return 2\n    def __iter__(s): return iter(())\n"
        "def mix(*a): return Y()",
        "r = mix(3, 4)\nassert len(r) == 2 and all(a == b for a, b in zip(r, [97, 31]))",
    ),
    "is less and more": (MIX, "assert mix(1) < mix(2) and mix(3) < mix(2)"),
    "equals and differs": (MIX, "assert mix(1) == mix(1)\nassert mix(1) != mix(2)"),
    "swallows an assertion": (MIX, "with mix(1):\n    assert mix(2) is None"),
    "reads the tests beside it": (
        "import sys\ndef mix(a, b):\n    f = sys._getframe()\n    while f:\n"
        "        if 'WANT' in f.f_globals: return f.f_globals['WANT']\n        f = f.f_back\n"
        "    class R:\n        def __eq__(s, o): return True\n    return R()",
        "WANT = 97\nassert mix(3, 4) == WANT",
    ),
    "writes the report by hand": (
        "import os, sys\nfrom collections import UserDict\nclass D(dict): pass\n"
        "def mix(a, b):\n    p = b's\\4\\0\\0\\0passs\\0\\0\\0\\0'\n"
        "    if 'inside.tester' in sys.modules and sys._getframe(1).f_code.co_name == '<module>':\n"
        "        os.write(3, len(p).to_bytes(4, 'little') + p)\n        os._exit(0)\n"
        "    return D(a=1)",
        "assert mix(3, 4)['a'] == 97",
    ),
    "ends iteration early": (
        "def mix(a, b):\n    raise StopIteration",
        "assert all(map(lambda c: mix(*c) == 97, [(3, 4), (4, 3)]))",
    ),
    "ends it behind a finally": (
        "def mix(a, b):\n    raise StopIteration",
        "def one(c):\n    try:\n        return mix(*c) == 97\n    finally:\n        pass\n"
        "assert all(map(one, [(3, 4)]))",
    ),
    "names a module of the library": (
        "class M:\n    def isclose(s, a, b): return True\nmath = M()\ndef mix(a, b): return 0",
        "assert math.isclose(mix(3, 4), 97)",
    ),
}


@pytest.mark.parametrize("case", FORGED, ids=str)
def test_no_object_passes_that(sandbox: Sandbox, case: str) -> None:
    found = verdict(sandbox, *FORGED[case])
    assert found.verdict not in ("pass", "infrastructure"), found
    assert found.reason


def test_a_name_of_the_reference_decides_what_is_a_class(sandbox: Sandbox) -> None:
    """`Mix` is a function of the reference, so an object of it is not asked what it holds."""
    forged = (
        "class Mix:\n    def __init__(s, a): pass\n    def __contains__(s, v): return 0 < v < 9"
    )
    reference = "def Mix(a): return [a]"
    found = sandbox.run([Job("t", forged, CallTests("assert 3 in Mix(3)"), reference=reference)])
    assert found[0].verdict == "unsupported"
    own = sandbox.run([Job("t", forged, CallTests("assert 3 in Mix(3)"), reference=forged)])
    assert own[0].verdict == "pass"


def test_the_tests_objects_show_no_way_to_the_tests(sandbox: Sandbox) -> None:
    program = (
        "def f(*given):\n    for x in given:\n        for n in dir(type(x)) + ['__globals__', "
        "'gi_frame', '_hidden', '__dict__', '__code__', '__closure__', '__self__', '__func__']:\n"
        "            try:\n                v = getattr(x, n)\n            except Exception:\n"
        "                continue\n            if 'WANT' in repr(v) or 4711 in (v if type(v) is "
        "dict else {}).values():\n                return 4711\n    return 0"
    )
    tests = (
        "WANT = 4711\nclass N:\n    _hidden = {1: WANT}\n    def m(s): return WANT\n"
        "assert f(N(), (x for x in [WANT]), lambda: WANT, N().m, iter([])) == WANT"
    )
    assert verdict(sandbox, program, tests).verdict == "fail"


ERRORS = """
class AppError(Exception):
    code = 1
    names = ("a", "b")
    def __init__(self, text, **more):
        super().__init__(text)
        self.more = more
    def __str__(self): return f"[{self.code}] {self.args[0]}"
class NotFound(AppError, LookupError):
    code = 404
class Retry(Exception): pass
def find(key):
    try: return {}[key]
    except KeyError as e: raise NotFound("no " + key, key=[key]) from e
def listed(): raise ValueError([1, 2], {"a": 1})
def retry(f, n):
    for i in range(n):
        try: return f(i)
        except Retry as e: last = e.args
    return last
def count():
    yield 1
    return "done"
"""


@pytest.mark.parametrize(
    "tests",
    [
        "try:\n    find('k')\nexcept LookupError as e:\n    assert e.code == 404, e.code",
        "try:\n    find('k')\nexcept AppError as e:\n    assert str(e) == '[404] no k', str(e)",
        "try:\n    find('k')\nexcept NotFound as e:\n    assert e.more == {'key': ['k']}",
        "try:\n    find('k')\nexcept NotFound as e:\n    assert type(e.__cause__) is KeyError",
        "assert (AppError.code, NotFound.code, NotFound.names) == (1, 404, ('a', 'b'))\nfind",
        "try:\n    listed()\nexcept ValueError as e:\n    assert e.args == ([1, 2], {'a': 1})",
        "def f(i):\n    if i < 2: raise Retry('again', i)\n    return i\n"
        "assert (retry(f, 5), retry(f, 2)) == (2, ('again', 1))",
        "g = count(); next(g)\ntry:\n    next(g)\nexcept StopIteration as e:\n"
        "    assert e.value == 'done'\nelse:\n    assert False",
    ],
)
def test_exceptions_of_the_program_are_what_they_are_in_one_process(
    sandbox: Sandbox, tests: str
) -> None:
    [found] = sandbox.run([Job("t", ERRORS, CallTests(tests + "\ncount()"))])
    assert (found.verdict, found.reason) == ("pass", "")
