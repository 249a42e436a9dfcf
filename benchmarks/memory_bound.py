"""Near dedup of a corpus larger than memory, on Sail: peak of the process tree, and growth.

    python -m benchmarks.memory_bound output=DIR [copies=1,10] [megabytes=N] [memory=3g] [bound=8]

DIR holds `contents` of 1.28 GB (benchmarks/dedup.py says how to make them); `megabytes` takes less
of them. Each number of `copies` is one run over that many copies with rotated letters, so 10 makes
12.8 GB. memory: spark.memory, the size of Sail's pool. bound: GB that the whole tree may take.

The memory is the sum of the proportional sets of all processes (PSS), sampled twice a second. The
exponents are slopes of log seconds and log peak against log bytes. A run needs about 1.5 times the
corpus on the disk of DIR, and its files are deleted when it ends. Copies are made one by one, with
about six times the bytes of one in memory, before the measured tree starts.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from benchmarks.dedup import ROOT, read_contents, rotated, speed_of, verdict, write_run
from benchmarks.usage import measure, memory
from conf.errors import SeedbedError, run_cli

KNOWN = ("output", "copies", "megabytes", "memory", "bound")


def main(argv: list[str]) -> int:
    options = dict(word.partition("=")[::2] for word in argv)
    unknown = sorted(set(options) - set(KNOWN))
    if unknown or not options.get("output"):
        raise SeedbedError(
            f"{unknown[0]} is no option" if unknown else "output is missing",
            f"give {', '.join(f'{name}=...' for name in KNOWN)}",
        )
    table = read_contents(options["output"], int(options.get("megabytes", 0)))
    megabytes = pc.sum(table["bytes"]).as_py() / 1e6
    bound = float(options.get("bound", "8")) * 1e3
    points = []
    with tempfile.TemporaryDirectory(dir=Path(options["output"]).resolve().parent) as scratch:
        for copies in map(int, options.get("copies", "1,10").split(",")):
            folder = write_run(
                (rotated(table, by) for by in range(copies)),
                options["output"],
                Path(scratch) / str(copies),
            )
            command = [sys.executable, "-m", "spark_jobs", "run", f"output={folder}"]
            command += ["from=signatures", "until=clusters", "spark.engine=sail"]
            command += [f"spark.memory={options.get('memory', '3g')}"]
            found = measure(command, pss=True, cwd=ROOT)
            shutil.rmtree(folder)
            # Rotation keeps the length of every text.
            size = megabytes * copies
            points.append((size, found["wall"], found["cpu"], found["MB"]))
            print(f"{size:9,.1f} MB  {speed_of(size, found)}  {memory(found)}")
            met = verdict(found["MB"] <= bound)
            print(f"  peak of all {found['MB']:,.0f} MB (goal {bound:,.0f}: {met})", flush=True)
    if len(points) > 1:
        size, *figures = np.log(np.array(points)).T
        for name, figure in zip(("wall", "CPU", "peak"), figures, strict=True):
            print(f"exponent of {name}: {np.polyfit(size, figure, 1)[0]:.2f}")
    return 0


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
