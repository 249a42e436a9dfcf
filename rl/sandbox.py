"""python -m rl.sandbox run | check: judge programs from files, or show what this host gives.

The sandbox is `seedbed/sandbox`, which Spark executors and bare hosts use without the rest of rl.
"""

from __future__ import annotations

import sys

from conf.errors import run_cli
from seedbed.sandbox.__main__ import main

if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
