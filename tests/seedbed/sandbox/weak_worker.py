"""Forged and honest programs in a jail that lacks something, and their verdicts as JSON.

    python -m tests.seedbed.sandbox.weak_worker CONDITION PART OF [LANGUAGE ...]

CONDITION: one of CONDITIONS. PART OF: every OF-th program, from number PART on. Without a language
the programs are Python's. The output is {name: [verdict, reason]}.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from pathlib import Path

from seedbed.sandbox import Job, Limits, Sandbox
from seedbed.sandbox.languages import orders
from tests.seedbed.sandbox.corpus import HONEST, PROGRAMS, TESTS
from tests.seedbed.sandbox.languages.test_forged_programs import FORGERIES
from tests.seedbed.sandbox.languages.test_forged_programs import HONEST as HONEST_C
from tests.seedbed.sandbox.languages.test_forged_programs import TESTS as STDIN_TESTS

# What is missing: (the id that is all the user has, or None; whether Landlock is there; isolation).
CONDITIONS = {
    "rlimits-only": (None, True, "rlimits-only"),
    "rlimits-only, root of a container": (0, True, "rlimits-only"),
    "root of a container": (0, True, "full"),
    "one user": (1000, True, "full"),
    "no Landlock": (None, False, "full"),
}
_PR_SET_SECCOMP, _FILTER = 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _NO_SUCH_CALL = 0x7FFF0000, 0x00050000 | 38


def become(inside: int) -> None:
    """A user who may map no id but this one."""
    uid, gid = os.geteuid(), os.getegid()
    os.unshare(os.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {gid} 1")


def without_landlock() -> None:
    """A kernel that does not know the three calls, for this process and all below it."""
    steps = [(_LOAD, 0, 0, 0)]
    steps += [(_EQUAL, 3 - place, 0, 444 + place) for place in range(3)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _NO_SUCH_CALL)]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    held = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.create_string_buffer(program), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def main(condition: str, part: str, of: str, *languages: str) -> None:
    inside, landlock, isolation = CONDITIONS[condition]
    if inside is not None:
        become(inside)
    if not landlock:
        without_landlock()
    # A forger that is aimed at the compiler loses less time.
    orders.COMPILER_CPU_SECONDS = 8
    if languages:
        limits = Limits(cpu_seconds=1.5, wall_seconds=5.0, memory_bytes=256 << 20)
        paths = [path for path in FORGERIES if path.parent.name in languages]
        jobs = [
            Job(f"{p.parent.name}/{p.stem}", p.read_text(), STDIN_TESTS, language=p.parent.name)
            for p in paths
        ]
        honest = [Job("honest", HONEST_C, STDIN_TESTS, language="c")]
    else:
        limits = Limits(cpu_seconds=1.0, wall_seconds=3.0, memory_bytes=256 << 20)
        jobs = [Job(name, program, TESTS) for name, program in PROGRAMS.items()]
        honest = [Job("honest", HONEST, TESTS)]
    with Sandbox(2, limits, isolation) as sandbox:
        found = sandbox.run([*honest, *jobs[int(part) :: int(of)]])
        # What one leaves behind would show in the honest program after it.
        [after] = sandbox.run(honest)
    told = {str(one.task_id): [one.verdict, one.reason] for one in found}
    print(json.dumps(told | {"honest, afterwards": [after.verdict, after.reason]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
