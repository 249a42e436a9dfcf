"""Sealed verdicts on untrusted Python programs.

    supervisor                        the caller's process. It holds problems and gives verdicts:
      |                               pool and worker run jobs, judge decides
      |  exec, empty environment
      v
    fork server (inside/fork_server)  never sees a program or a test
      |-- jail (inside/jail)          runs the program. It receives source and call arguments, and
      |                               returns plain values
      `-- tester (inside/tester)      runs the tests. It compares what came back, on exact built-in
                                      types

The expected output never enters the program's process, nor an ancestor of it. The program's answers
are plain data. So a program can change its own answers, and nothing else.

    with Sandbox(workers=2) as sandbox:
        verdicts = sandbox.run(Job(task_id, program, tests) for ...)
"""

from seedbed.sandbox.interpreter import Interpreter
from seedbed.sandbox.pool import Sandbox
from seedbed.sandbox.verdict import (
    OUTCOMES,
    CallTests,
    Job,
    Limits,
    ProjectTests,
    SourceTests,
    StdioTests,
    Tests,
    Verdict,
)
from seedbed.sandbox.version import version

__all__ = [
    "OUTCOMES",
    "CallTests",
    "Interpreter",
    "Job",
    "Limits",
    "ProjectTests",
    "Sandbox",
    "SourceTests",
    "StdioTests",
    "Tests",
    "Verdict",
    "version",
]
