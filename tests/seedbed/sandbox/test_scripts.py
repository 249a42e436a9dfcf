"""Scripts as contestants write them: deep recursion, ways to print, and preambles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from seedbed.sandbox import CallTests, Interpreter, Job, Limits, Sandbox, StdioTests
from tests.seedbed.sandbox.test_verdicts import verdict

SUM = "sum(map(int, input().split()))"
WAYS = {
    "swaps stdout": "import sys, io\nreal = sys.stdout\nsys.stdout = io.StringIO()\n"
    f"print({SUM})\nreal.write(sys.stdout.getvalue())",
    "opens descriptor 1": f"import os\nout = os.fdopen(1, 'w')\nout.write(str({SUM}))",
    "uses the first stdout": "import sys, io\nsys.stdout = io.StringIO()\n"
    f"sys.__stdout__.write(str({SUM}))",
    "prints in a destructor": f"class O:\n    def __del__(s): print(s.x)\no = O()\no.x = {SUM}",
    "prints in a cycle's destructor": "class O:\n    def __del__(s): print(s.x)\n"
    f"o = O()\no.o = o\no.x = {SUM}",
    "prints from a thread after the end": "import threading, time, sys\ndef f():\n"
    f"    time.sleep(0.1)\n    print({SUM})\nthreading.Thread(target=f).start()\nsys.exit(0)",
    "prints at exit": f"import atexit\nx = {SUM}\natexit.register(lambda: print(x))",
    "leaves a wrapper open": "import io\n"
    "w = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, 'w')))\n"
    f"w.write(str({SUM}))",
    "raises the stack limit": "import resource\nresource.setrlimit(resource.RLIMIT_STACK, "
    "(resource.RLIM_INFINITY, -1))\n"
    f"assert resource.getrlimit(resource.RLIMIT_STACK)[1] == -1\nprint({SUM})",
    "asks for a stack of 512 MB": "import threading\nthreading.stack_size(1 << 29)\n"
    f"t = threading.Thread(target=lambda: print({SUM}))\nt.start()\nt.join()",
    "opens /dev/stdin": "print(sum(map(int, open('/dev/stdin').read().split())))",
    "writes a temporary file": f"import tempfile\nwith tempfile.NamedTemporaryFile('w+') as f:\n"
    f"    f.write(str({SUM}))\n    f.flush()\n    print(open(f.name).read())",
    "starts a pool of processes": "from multiprocessing import Pool\nif __name__ == '__main__':\n"
    "    with Pool(2) as p:\n        print(sum(p.map(int, input().split())))",
    "knows its file": f"import os\nos.path.abspath(__file__)\nprint({SUM})",
    "begins with a byte order mark": f"\ufeffprint({SUM})",
    "leaves with 1": f"import sys\nprint({SUM})\nsys.exit(1)",
    "imports sqlite3": "import sqlite3\n"
    "print(sqlite3.connect(':memory:').execute('select 6').fetchone()[0])",
    "recurses by lru_cache": "import sys\nfrom functools import lru_cache\n"
    "sys.setrecursionlimit(10 ** 6)\n@lru_cache(None)\ndef f(n): return n and f(n - 1) + 1\n"
    f"assert f(30000) == 30000\nprint({SUM})",
    "recurses by a cached map in a thread": "import sys, threading\nfrom functools import cache\n"
    "sys.setrecursionlimit(10 ** 6)\nthreading.stack_size(1 << 27)\n@cache\n"
    "def f(n): return max(map(f, [n - 1])) + 1 if n else 0\n"
    f"t = threading.Thread(target=lambda: print(f(9000) * 0 + {SUM}))\nt.start()\nt.join()",
    "copies and sorts deeply": "import copy, sys\nsys.setrecursionlimit(10 ** 6)\nx = []\n"
    "for _ in range(3000): x = [x]\ncopy.deepcopy(x)\nrepr(x)\n"
    "def g(n): return sorted([n], key=lambda m: m and g(m - 1))[0]\n"
    f"assert g(2000) == 2000\nprint({SUM})",
    "prints a long integer": f"x = {SUM}\nassert len(str(7 ** 20000)) == 16902\nprint(x)",
}
GIVEN = StdioTests(("1 2 3\n",), ("6\n",))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_script_may_pass_that(sandbox: Sandbox, way: str) -> None:
    found = verdict(sandbox, WAYS[way], GIVEN, memory_bytes=512 << 20, cpu_seconds=5.0)
    assert (found.verdict, found.reason) == ("pass", "")


def test_nothing_of_a_temporary_file_reaches_the_next_program(sandbox: Sandbox) -> None:
    leave = (
        "import os\nos.makedirs('/tmp/a/b')\nopen('/tmp/a/b/c', 'w').write('x')\n"
        "os.mkdir('/tmp/shut', 0)\n"
    )
    look = "import os\nprint(sorted(os.listdir('/tmp')))"
    jobs = [Job(n, leave + look, StdioTests(("",), ("['a', 'shut']",))) for n in range(4)]
    assert {found.verdict for found in sandbox.run(jobs)} == {"pass"}


def test_temporary_files_are_few_small_and_only_there(sandbox: Sandbox) -> None:
    fill = "open('/tmp/x', 'wb').write(b'x' * (32 << 20))"
    assert verdict(sandbox, fill, GIVEN).verdict == "error"
    deep = "import os\nfor n in range(300):\n    os.mkdir('/tmp/' + 'd/' * n + 'd')"
    assert "No space left" in verdict(sandbox, deep, GIVEN).reason
    for place in ("/x", "/project/x"):
        found = verdict(sandbox, f"# /tmp\nopen('{place}', 'w')", GIVEN)
        assert found.verdict in ("error", "forbidden"), found
    assert verdict(sandbox, "print(6)", GIVEN).verdict == "pass"


def test_large_arguments_and_outputs_have_honest_verdicts(sandbox: Sandbox) -> None:
    many = "assert f(list(range(2 * 10 ** 6))) == 2 * 10 ** 6"
    assert verdict(sandbox, "def f(x): return len(x)", many, memory_bytes=1 << 30).verdict == "pass"
    small = {"memory_bytes": 64 << 20}
    assert verdict(sandbox, "def f(x): return len(x)", many, **small).verdict == "memory"
    long = "x" * (9 << 20)
    assert verdict(sandbox, "print('x' * (9 << 20))", StdioTests(("",), (long,))).verdict == "pass"
    assert verdict(sandbox, "print('y' * (9 << 20))", StdioTests(("",), (long,))).verdict == "fail"


PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.1[013].*/bin/python3"))


@pytest.mark.slow
@pytest.mark.skipif(not PYTHONS, reason="no other CPython is installed below ~/.pyenv")
@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.parts[-3])
def test_another_python_judges_the_same(python: Path) -> None:
    limits = Limits(cpu_seconds=20.0, wall_seconds=60.0)
    program = (
        "import sys\ndef f(x): return x + 1\n"
        "def v(): return '.'.join(map(str, sys.version_info[:3]))"
    )
    version = python.parts[-3]
    jobs = [Job("calls", program, CallTests(f"assert f(1) == 2 and v() == {version!r}"))]
    jobs += [Job(way, script, GIVEN) for way, script in WAYS.items()]
    with Sandbox(1, limits, interpreter=Interpreter(str(python))) as other:
        assert [found for found in other.run(jobs) if found.verdict != "pass"] == []


def test_an_installed_package_is_brought_in_where_it_is_named() -> None:
    pytest.importorskip("numpy")
    program = "import numpy as np\ndef f(): return np.array([1, 2]) * 2"
    tests = CallTests("import numpy as np\nassert np.array_equal(f(), [2, 4]) and f().sum() == 6")
    for packages, outcome in (((), "unsupported"), (("numpy",), "pass")):
        with Sandbox(1, interpreter=Interpreter(packages=packages)) as pool:
            (found,) = pool.run([Job("t", program, tests)])
        assert found.verdict == outcome, found


def test_a_package_below_tmp_is_brought_in_and_no_program_leaves_anything_beside_it(
    tmp_path: Path,
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "own"], check=True)
    (place,) = (tmp_path / "own/lib").glob("python*/site-packages")
    (place / "mine.py").write_text("ANSWER = 7\n")
    writes = (
        "import mine, os\ndef f():\n    os.makedirs('/tmp/a/b')\n"
        "    open('/tmp/a/b/c', 'w').write('x')\n    return mine.ANSWER"
    )
    looks = "import mine, os\ndef f(): return os.listdir('/tmp'), mine.ANSWER"
    beside = [tmp_path.parts[2]] if tmp_path.parts[1] == "tmp" else []
    jobs = [
        Job("writes", writes, CallTests("assert f() == 7")),
        Job("looks", looks, CallTests(f"assert f() == ({beside!r}, 7)")),
    ]
    interpreter = Interpreter(str(tmp_path / "own/bin/python"), ("mine",))
    with Sandbox(1, interpreter=interpreter) as pool:
        found = pool.run([*jobs, *jobs])
    assert [verdict.verdict for verdict in found] == ["pass"] * 4, found
