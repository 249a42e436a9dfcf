"""Judge programs from files, or show what this host isolates.

    python -m rl.sandbox run --problems P.jsonl --samples S.jsonl --out V.jsonl
    python -m rl.sandbox check

The sandbox is `seedbed/sandbox`. Spark executors and bare hosts use it without the rest of rl.
"""

from __future__ import annotations

import sys

from conf.errors import run_cli
from seedbed.sandbox.__main__ import main

if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
