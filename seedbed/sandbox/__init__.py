"""Sealed verdicts on untrusted Python programs.

    supervisor (verdict, worker, pool, formats, __main__)   the caller's process: holds problems, gives verdicts
      | exec with an empty environment
    fork server (inside/fork_server)                             never sees a program or a test
      |-- jail (inside/jail)       runs the program: gets source and call arguments, returns plain values
      `-- tester (inside/tester)   runs the tests: compares what came back, on exact built-in types

The expected output never enters the program's process or an ancestor of it. With expected values
out of reach and answers that are plain data, tricks of the program can change its answers and
nothing else.

    with Sandbox(workers=2) as sandbox:
        verdicts = sandbox.run(Job(task_id, program, tests) for ...)
"""

from seedbed.sandbox.pool import Sandbox
from seedbed.sandbox.verdict import (
    OUTCOMES,
    CallTests,
    Job,
    Limits,
    ProjectTests,
    StdioTests,
    Tests,
    Verdict,
)
from seedbed.sandbox.version import version

__all__ = [
    "OUTCOMES",
    "CallTests",
    "Job",
    "Limits",
    "ProjectTests",
    "Sandbox",
    "StdioTests",
    "Tests",
    "Verdict",
    "version",
]
