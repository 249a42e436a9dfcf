"""`make mutate`: put small faults into pure files, one at a time, and see whether a test notices.

    python -m scripts.mutation [--minutes M] [--touched] [FILE ...]

FILE: paths from files.toml, or folders of them; without any, all. --touched: only those whose text
changed since their score was written down; nothing is written then, and exit status 1 says that one
fell below the bar. --minutes: the limit for each file (10 by default), or with --touched for all
together; what it cuts off is said.

Otherwise the scores go into scores.json and docs/mutation.md. Survivors are printed with the change
as equivalent.toml wants it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from conf.errors import SeedbedError, run_cli
from scripts.mutation import records
from scripts.mutation.mutants import mutants
from scripts.mutation.records import ROOT, Score
from scripts.mutation.runner import Bench


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--touched", action="store_true")
    given = parser.parse_args(argv)
    kept = records.scores()
    if given.touched:
        return check(records.touched(kept), kept, 60 * given.minutes)
    for path in chosen(given.files):
        records.keep({path: measure(path, 60 * given.minutes)})
    return 0


def chosen(names: list[str]) -> list[str]:
    """The pure files that the names stand for. Raises SeedbedError for a name that is none."""
    files = list(records.pure_files())
    found: list[str] = []
    for name in names:
        name = name.rstrip("/")
        matching = [path for path in files if path == name or path.startswith(f"{name}/")]
        if not matching:
            raise SeedbedError(
                f"{name} is no pure file, and no folder of any",
                "add it with its tests to scripts/mutation/files.toml",
            )
        found += matching
    return found or files


def check(paths: list[str], kept: dict[str, Score], seconds: float) -> int:
    """Exit status 1 where a touched file is below its bar. Each gets an equal share of the time
    that is left; a file that got none is named."""
    end = time.monotonic() + seconds
    low = []
    for number, path in enumerate(paths):
        left = end - time.monotonic()
        if left <= 0:
            print(f"not run, no time was left: {', '.join(paths[number:])}")
            break
        score = measure(path, left / (len(paths) - number))
        if records.too_low(path, score, kept):
            low.append(path)
    if low:
        print(f"below {records.GOAL} % or their last score: {', '.join(low)}")
        print("write tests that notice the survivors, then: make mutate FILES=...")
    return int(bool(low))


def measure(path: str, seconds: float) -> Score:
    """Run the mutants of one file within the limit, and print those that survive."""
    begin = time.monotonic()
    source = (ROOT / path).read_text()
    every = mutants(source)
    equivalent = records.equivalents().get(path, {})
    real = [mutant for mutant in every if mutant.change not in equivalent]
    run = 0
    survived = []
    folder = Path(tempfile.mkdtemp(prefix="seedbed-mutate-"))
    try:
        with Bench(folder) as bench:
            tests = records.pure_files()[path]
            for outcome in bench.outcomes(path, tests, real, begin + seconds):
                run += 1
                if not outcome.noticed:
                    survived.append(outcome.mutant)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    score = Score(records.fingerprint(source), len(real), run, len(survived))
    cut = f", {len(real) - run} not run" if run < len(real) else ""
    took = time.monotonic() - begin
    print(f"{path}: {score.percent:.0f} % of {run} noticed{cut} [{took:.0f} s]", flush=True)
    for mutant in sorted(survived, key=lambda mutant: mutant.line):
        print(f"  {path}:{mutant.line}  {mutant.change}", flush=True)
    return score


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
