"""The curate line on each engine: wall time, CPU seconds and memory of the process tree.

    python -m benchmarks.engines input=DIR [engines=sail,spark] [config=FILE] [rounds=1]

input: a folder of archives. Two small wheels show what starting costs; the demo's wheels
(`python -m demo.fetch`) show a whole curate stage:

    python -m benchmarks.engines input=downloads/demo config=conf/curate/demo.yaml

Each round runs every engine once, in turn: a whole run into an empty folder, and then the same
command again, which has nothing to do. The hashes of all tables are compared with those of the
first engine. spark.engine=spark needs `make java`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.usage import measure
from conf.errors import SeedbedError, run_cli
from seedbed.queries.certify import hashes

KNOWN = ("input", "engines", "config", "rounds")


def main(argv: list[str]) -> int:
    options = dict(word.partition("=")[::2] for word in argv)
    unknown = sorted(set(options) - set(KNOWN))
    if unknown or not options.get("input"):
        raise SeedbedError(
            f"{unknown[0]} is no option" if unknown else "input is missing",
            f"give {', '.join(f'{name}=...' for name in KNOWN)}",
        )
    source = Path(options["input"])
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    print(f"{size / 1e6:.1f} MB of archives, {len(os.sched_getaffinity(0))} cores")
    print("| engine | run | s | CPU s | MB | tables |\n|---|---|---|---|---|---|")
    first: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(int(options.get("rounds", "1"))):
            for engine in options.get("engines", "sail,spark").split(","):
                output = f"{scratch}/{engine}{number}"
                command = [sys.executable, "-m", "spark_jobs", "run", f"spark.engine={engine}"]
                command += [f"input={source}", f"output={output}"]
                if config := options.get("config"):
                    command += ["--config", config]
                for run in ("whole", "nothing to do"):
                    spent = measure(command)
                    found = hashes(output)
                    first = first or found
                    same = "same" if found == first else "DIFFERENT"
                    row = f"{spent['wall']:.1f} | {spent['cpu']:.1f} | {spent['MB']:.0f}"
                    print(f"| {engine} | {run} | {row} | {same} |", flush=True)
    return 0


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
