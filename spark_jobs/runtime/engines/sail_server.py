"""python -m spark_jobs.runtime.engines.sail_server: the process that holds Sail.

It prints its port as one line and ends when its standard input does. Sail runs in a process of its
own, so that a panic or a lack of memory ends this process and not the job's.
"""

from __future__ import annotations

import os
import sys

from pysail.spark import SparkConnectServer

from seedbed.processes import die_with_parent


def main() -> None:
    die_with_parent()
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    print(server.listening_address[1], flush=True)
    # What Python functions print goes to the log, since nobody reads the pipe any more.
    os.dup2(2, 1)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
