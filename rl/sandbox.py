"""python -m rl.sandbox run | check: judges programs from files, or shows what this host allows.

The sandbox is seedbed/sandbox. Spark executors and bare hosts use it without the rest of `rl`.
"""

from __future__ import annotations

import sys

from conf.errors import run_cli
from seedbed.sandbox.__main__ import main

if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
