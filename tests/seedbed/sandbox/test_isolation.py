"""What a program finds inside, and that nothing outside depends on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from seedbed.sandbox import CallTests, Job, Sandbox
from seedbed.sandbox.inside.kernel import seccomp

ROOT = Path(__file__).resolve().parents[3]


def inside(sandbox: Sandbox, expression: str) -> str:
    """What an expression evaluates to in a jail, as text: it comes out in the reason of the
    verdict.
    """
    program = (
        "import ctypes, os, sys\nlibc = ctypes.CDLL(None)\ndef f():\n"
        f"    raise ValueError(repr(({expression})))"
    )
    (verdict,) = sandbox.run([Job("probe", program, CallTests("f()"))])
    return verdict.reason.removeprefix("ValueError: ").split(" (program line")[0]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("dict(os.environ)", "{}"),
        ("sys.argv, sys.orig_argv", "([''], [''])"),
        ("os.getpid(), os.getppid(), os.getcwd()", "(1, 0, '/')"),
        (
            "[path for path in ('/proc', '/etc', '/home', '/dev', '/usr/bin') "
            "if os.path.exists(path)], os.listdir('/tmp')",
            "([], [])",
        ),
        ("[number for number in range(64) if libc.fcntl(number, 1) >= 0]", "[0, 1, 2, 3]"),
        ("[path for path in sys.path if 'site-packages' in path or 'sandbox' in path]", "[]"),
        (
            "[os.listdir(path) for path in (f'{os.path.dirname(os.__file__)}/site-packages',) "
            "if os.path.isdir(path)]",
            "[]",
        ),
        ("os.access(os.__file__, os.W_OK)", "False"),
    ],
)
def test_a_program_finds(sandbox: Sandbox, expression: str, found: str) -> None:
    assert inside(sandbox, expression).replace("[[]]", "[]") == found


# A page that the program may read and write, at `page`. `failed` is mmap's MAP_FAILED.
PAGE = (
    "setattr(libc.mmap, 'restype', ctypes.c_void_p), failed := ctypes.c_void_p(-1).value, "
    "page := ctypes.c_void_p(libc.mmap(None, 4096, 3, 0x22, -1, 0)), "
)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        # PROT_READ is 1, PROT_WRITE 2 and PROT_EXEC 4.
        (
            "[libc.mmap(None, 4096, how, 0x22, -1, 0) == failed for how in (1, 3, 4, 5, 7)]",
            "[False, False, True, True, True]",
        ),
        (
            "[libc.mprotect(page, 4096, how) for how in (1, 3, 4, 5, 7)]",
            "[0, 0, -1, -1, -1]",
        ),
        # pkey_mprotect, and personality's READ_IMPLIES_EXEC.
        ("[libc.syscall(329, page, 4096, 7, -1), libc.personality(0x400000)]", "[-1, -1]"),
    ],
)
def test_no_memory_becomes_executable(sandbox: Sandbox, expression: str, found: str) -> None:
    assert inside(sandbox, f"({PAGE}{expression})[-1]") == found


needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="looking into a jail from outside needs root"
)


@needs_root
def test_each_jail_has_its_own_namespaces_and_no_powers(sandbox: Sandbox) -> None:
    program = "import time\ndef f():\n    time.sleep(1.5)\n    return 1"
    links: dict[str, set[str]] = {}
    thread = threading.Thread(
        target=sandbox.run, args=([Job(n, program, CallTests("f()")) for n in range(2)],)
    )
    thread.start()
    time.sleep(0.7)
    servers = [worker.server.pid for worker in sandbox._workers if worker.server]
    jails = []
    for server in servers:
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        # the tester is older
        jails.append(children[-1])
    assert len(jails) == 2
    for pid in [*jails, *map(str, servers), "self"]:
        for name in ("user", "pid", "net", "mnt", "ipc", "uts"):
            links.setdefault(name, set()).add(os.readlink(f"/proc/{pid}/ns/{name}"))
    status = Path(f"/proc/{jails[0]}/status").read_text()
    thread.join()
    # Two jails, two fork servers and this process. The servers stay in this pid namespace, and each
    # shares with its jail what the test below finds closed.
    assert {name: len(found) for name, found in links.items()} == {
        **dict.fromkeys(links, 3),
        "user": 5,
    }
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[name].strip("0") for name in ("CapEff", "CapPrm", "CapInh")} == {""}
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    assert "0" not in fields["Uid"].split()


# Calls that would leave a thing in a network, ipc, mount or uts namespace, or in a keyring. The
# children of a fork server share these. Numbers are those of asm/unistd_64.h.
LEAVING = {
    "socket": 41, "connect": 42, "accept": 43, "sendmsg": 46, "bind": 49, "listen": 50,
    "setsockopt": 54, "accept4": 288, "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240,
    "mount": 165, "umount2": 166, "pivot_root": 155, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsmount": 432, "mount_setattr": 442, "unshare": 272, "setns": 308,
    "sethostname": 170, "setdomainname": 171, "add_key": 248, "request_key": 249, "keyctl": 250,
}  # fmt: skip


def test_no_child_can_leave_a_thing_in_the_namespaces_that_it_shares(sandbox: Sandbox) -> None:
    """Each call is refused whatever its arguments are: with EPERM (1), or by death."""
    refused = [number for number in LEAVING.values() if number not in seccomp.LETHAL.values()]
    expression = (
        "[setattr(ctypes, 'kept', ctypes.CDLL(None, use_errno=True)), "
        f"{{(ctypes.kept.syscall(number, 0, 0, 0, 0, 0), ctypes.get_errno()) "
        f"for number in {refused}}}][1]"
    )
    assert inside(sandbox, expression) == "{(-1, 1)}"
    program = "import ctypes\ndef f():\n    ctypes.CDLL(None).syscall({}, 0, 0, 0, 0, 0)"
    lethal = set(LEAVING.values()) - set(refused)
    jobs = [Job(number, program.format(number), CallTests("f()")) for number in lethal]
    # Its own sandbox: a tester that has judged its last program is a process without memory, which
    # the next test would look into.
    with Sandbox(1) as own:
        assert {verdict.verdict for verdict in own.run(jobs)} == {"forbidden"}


@needs_root
def test_the_tests_are_nowhere_in_the_memory_of_the_jail_or_the_fork_server(
    sandbox: Sandbox,
) -> None:
    secret = "MARKER" + "OF" * 8 + "THETESTS"
    program = "import time\ndef f(x):\n    time.sleep(2)\n    return 1"
    job = Job(
        secret, program, CallTests(f"expected = '{secret}'\nassert f('given' * 5) == expected")
    )
    thread = threading.Thread(target=sandbox.run, args=([job],))
    thread.start()
    time.sleep(1)
    found = {}
    for worker in sandbox._workers:
        assert worker.server is not None
        server = worker.server.pid
        for pid in [
            str(server),
            *Path(f"/proc/{server}/task/{server}/children").read_text().split(),
        ]:
            found[pid] = (_count(pid, secret.encode()), _count(pid, b"given" * 5))
    thread.join()
    holders = [pid for pid, (tests, _) in found.items() if tests]
    called = [pid for pid, (_, given) in found.items() if given]
    assert len(holders) == 1, "the tester alone holds the expected value (and the scan can find it)"
    assert len(called) == 2, "the call's argument is in the tester and in the jail"


def _count(pid: str, needle: bytes) -> int:
    total = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            if " rw" in line:
                start, end = (int(part, 16) for part in line.split()[0].split("-"))
                memory.seek(start)
                try:
                    total += memory.read(end - start).count(needle)
                except OSError:
                    continue
    return total


def test_a_lost_fork_server_is_replaced_and_its_job_run_again() -> None:
    program = "import time\ndef f():\n    time.sleep(1)\n    return 1"
    with Sandbox(1) as sandbox:
        server = sandbox._workers[0].server
        assert server is not None
        timer = threading.Timer(0.5, os.kill, (server.pid, signal.SIGKILL))
        timer.start()
        verdicts = sandbox.run([Job(n, program, CallTests("assert f() == 1")) for n in range(2)])
        assert [verdict.verdict for verdict in verdicts] == ["pass", "pass"]
        replacement = sandbox._workers[0].server
        assert replacement is not None
        assert replacement.pid != server.pid


@needs_root
def test_a_program_killed_from_outside_is_our_fault_and_never_a_wrong_answer() -> None:
    with Sandbox(1) as sandbox:
        server = sandbox._workers[0].server
        assert server is not None
        done = threading.Event()

        def killer() -> None:
            while not done.is_set():
                time.sleep(0.2)
                # the jail
                for pid in (
                    Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()[1:]
                ):
                    os.kill(int(pid), signal.SIGKILL)

        thread = threading.Thread(target=killer)
        thread.start()
        program = "import time\ndef f():\n    time.sleep(2)"
        (verdict,) = sandbox.run(
            [Job("t", program, CallTests("try:\n    f()\nexcept Exception:\n    pass"))]
        )
        done.set()
        thread.join()
    assert verdict.verdict == "infrastructure"
    assert "killed from outside" in verdict.reason


def test_nothing_survives_the_death_of_the_caller() -> None:
    script = """
        from seedbed.sandbox import CallTests, Job, Sandbox
        with Sandbox(1) as sandbox:
            print(sandbox._workers[0].server.pid, flush=True)
            sandbox.run([Job(0, "while True: pass", CallTests("f()"))])
    """
    caller = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert caller.stdout is not None
    server = caller.stdout.readline().strip()
    children = Path(f"/proc/{server}/task/{server}/children")
    _eventually(lambda: len(children.read_text().split()) == 2)
    family = [server, *children.read_text().split()]
    caller.kill()
    caller.wait()
    caller.stdout.close()
    _eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))


def _eventually(holds: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


IN_NEW_USER_NAMESPACE = """
    import os
    from pathlib import Path
    from conf.errors import SeedbedError
    from seedbed.sandbox import CallTests, Job, Sandbox
    uid, gid = os.geteuid(), os.getegid()
    os.unshare(os.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {{uid}} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {{gid}} 1")
    {more}
    try:
        with Sandbox(1{options}) as sandbox:
            job = Job(0, "def f(): return 1", CallTests("assert f() == 1"))
            print(sandbox.run([job])[0].verdict)
    except SeedbedError as error:
        print(error)
"""


@pytest.mark.parametrize("inside_id", [0, 1000])
def test_it_works_for_a_user_who_may_map_no_other_id(inside_id: int) -> None:
    assert _in_user_namespace(inside_id, "").strip() == "pass"


def test_where_namespaces_are_forbidden_it_refuses_and_says_the_fix() -> None:
    said = _in_user_namespace(0, 'Path("/proc/sys/user/max_user_namespaces").write_text("0")')
    assert "does not allow the sandbox: user, mount, net, ipc and uts namespaces" in said
    assert "sysctl user.max_user_namespaces" in said


PROBES = {
    "files": "def f():\n    return open('/etc/passwd').read(9)",
    "kill": "import os\ndef f():\n    os.kill(1, 0)",
    "fork": "import os\ndef f():\n    return os.fork()",
    "network": "import socket\ndef f():\n    return socket.socket()",
    "uid": "import os\ndef f():\n    os.setuid(0)",
    "write": "def f():\n    return open('/tmp/forged.py', 'w')",
    "memory": "def f():\n    return bytearray(1 << 40)",
    "packages": "import os\ndef f():\n    root = os.path.dirname(os.__file__) + '/site-packages'\n"
    "    for name in os.listdir(root):\n"
    "        if os.path.isfile(root + '/' + name): open(root + '/' + name)\n"
    "    raise PermissionError",
}


def test_the_mode_without_namespaces_runs_when_asked_for_and_stamps_each_verdict() -> None:
    with Sandbox(1, isolation="rlimits-only") as weak:
        found = weak.run([Job(name, program, CallTests("f()")) for name, program in PROBES.items()])
        fine = weak.run(
            [
                Job(
                    "t",
                    "import json, difflib\ndef f(): return json.loads('[1]')",
                    CallTests("assert f() == [1]"),
                )
            ]
        )
    assert {v.task_id: v.verdict for v in found} == {
        **dict.fromkeys(PROBES, "forbidden"),
        "memory": "memory",
    }
    assert [v.verdict for v in fine] == ["pass"]
    assert {v.weakened for v in (*found, *fine)} == {"rlimits-only"}


def test_the_weaker_mode_works_where_namespaces_are_forbidden() -> None:
    forbid = 'Path("/proc/sys/user/max_user_namespaces").write_text("0")'
    assert _in_user_namespace(0, forbid, ', isolation="rlimits-only"').strip() == "pass"


def _in_user_namespace(inside_id: int, more: str, options: str = "") -> str:
    script = textwrap.dedent(IN_NEW_USER_NAMESPACE).format(
        inside=inside_id, more=more, options=options
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
