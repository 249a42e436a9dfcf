"""What the fork server makes ready before it forks, and that programs do not notice."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap

import pytest

from seedbed.sandbox import CallTests, Job, Sandbox
from seedbed.sandbox.inside import syscalls


def test_the_rehearsal_leaves_nothing_behind(sandbox: Sandbox) -> None:
    program = textwrap.dedent("""
        import sys, random, builtins
        first = random.random()
        def found():
            own = [name for name in vars(sys.modules["solution"]) if name in ("join", "change")]
            return own, first, sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__
    """)
    tests = CallTests(
        "import random, sys\nassert 'solution' not in sys.modules\n"
        "random.seed(0)\nassert found() == ([], random.random(), True, True)\n"
    )
    (verdict,) = sandbox.run([Job("nothing", program, tests)])
    assert (verdict.verdict, verdict.reason) == ("pass", "")


def test_threads_work_in_a_child_that_ran_no_hook_of_the_fork(sandbox: Sandbox) -> None:
    program = textwrap.dedent("""
        import threading
        from concurrent.futures import ThreadPoolExecutor
        def f():
            with ThreadPoolExecutor(3) as pool:
                found = list(pool.map(lambda x: x * x, range(5)))
            return found, threading.current_thread() is threading.main_thread()
    """)
    tests = CallTests("assert f() == ([0, 1, 4, 9, 16], True)\n")
    (verdict,) = sandbox.run([Job("threads", program, tests)])
    assert (verdict.verdict, verdict.reason) == ("pass", "")


def test_only_programs_find_the_exits_of_scripts(sandbox: Sandbox) -> None:
    """In the tests the names mean what the program defines, as with any other name."""
    program = "def exit(x):\n    return x + 1\n\ndef f():\n    return quit is not None\n"
    (verdict,) = sandbox.run([Job("exits", program, CallTests("assert f() and exit(1) == 2"))])
    assert (verdict.verdict, verdict.reason) == ("pass", "")
    tests = CallTests("assert f()\ntry:\n    quit\nexcept NameError:\n    pass\nelse:\n    1 / 0\n")
    (verdict,) = sandbox.run([Job("no exits", program, tests)])
    assert (verdict.verdict, verdict.reason) == ("pass", "")


# Prints the numbers of CPUs of a fork server: with a jail, between two choices, after a long jail.
CPUS = textwrap.dedent("""
    import os, socket
    from seedbed.sandbox.inside.fork_server import _Server
    from seedbed.sandbox.inside.lockdown import CHANNELS, Locks

    def count():
        return len(os.sched_getaffinity(0))

    before = count()
    server = _Server(socket.socketpair()[0], Locks(0, None, None, None, 0, alone=False))
    held, between = set(), []
    for _ in range(CHANNELS):
        server._share_one_cpu()
        held.add(count())
        server._reap(0, False)
        between.append(count() == before)
    server._share_one_cpu()
    server._part()
    print(held, between.index(True) == CHANNELS - 1, count() == before)
""")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="this machine lends one CPU")
def test_a_fork_server_shares_one_cpu_with_a_few_jails_and_then_may_move() -> None:
    ran = subprocess.run([sys.executable, "-c", CPUS], capture_output=True, text=True, check=True)
    assert ran.stdout == "{1} True True\n"


def test_a_prepared_call_that_fails_is_named() -> None:
    calls = [syscalls.Call("getpid", 39), syscalls.Call("chroot", 161, 0)]
    with pytest.raises(OSError, match="chroot: ") as caught:
        syscalls.make(calls)
    assert caught.value.errno in (errno.EFAULT, errno.EPERM)


def test_files_of_a_tester_do_not_outlive_it(sandbox: Sandbox) -> None:
    """The tester writes, the programs do not. The next tests must not see what it left."""
    writing = CallTests("import tempfile\nopen('/tmp/left', 'w').write('x')\nassert f() == 1\n")
    looking = CallTests("import os, tempfile\nassert os.listdir('/tmp') == [] and f() == 1\n")
    with Sandbox(1) as own:
        verdicts = own.run(
            Job(n, "def f(): return 1", tests)
            for n, tests in enumerate((writing, writing, looking))
        )
    assert [verdict.verdict for verdict in verdicts] == ["pass"] * 3
