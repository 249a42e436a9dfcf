"""python -m tests.fuzz SECONDS [NAME ...]: fuzzes all boundaries, or those named, in turn.

Each gets an equal share of the time, in a process of its own. An input that shows a fault is cut
down and put into build/fuzz/NAME. Give it a name that says what it does, move it to
tests/fuzz/corpus/NAME, and mend the fault. SEED=N draws other inputs (the default is the time).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from conf.errors import SeedbedError, run_cli
from tests.fuzz.boundary import Boundary
from tests.fuzz.names import NAMES, boundary

FOUND = Path("build/fuzz")
# Inputs drawn between two looks at the clock.
BATCH = 100
# What a child may take to start, to cut a fault down, and to be told from one that hangs.
GRACE_S = 300


def main(argv: list[str]) -> int:
    if argv[:1] == ["--one"]:
        return fuzz(boundary(argv[1]), float(argv[2]), int(argv[3]))
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if not argv[0].isdigit() or not set(argv[1:]) <= set(NAMES):
        raise SeedbedError(
            f"{' '.join(argv)} is no number of seconds and names of boundaries",
            f"give seconds, then some of: {', '.join(NAMES)}",
        )
    names = argv[1:] or list(NAMES)
    first = int(os.environ.get("SEED") or time.time())
    print(f"seed {first}; {len(names)} boundaries, {argv[0]} s", flush=True)
    faulty = [name for name in names if not _child(name, int(argv[0]) / len(names), first)]
    print(f"faults: {', '.join(faulty) or 'none'}")
    return 1 if faulty else 0


def _child(name: str, seconds: float, first: int) -> bool:
    """Whether a process of its own found no fault; one that hangs or crashes has found one."""
    command = [sys.executable, "-m", "tests.fuzz", "--one", name, str(seconds), str(first)]
    try:
        code = subprocess.run(command, timeout=seconds + GRACE_S, check=False).returncode
    except subprocess.TimeoutExpired:
        code = "hangs"
    if code not in (0, 1):
        print(f"{name}: the process {code}; its input is {FOUND / name / 'last'}")
    return code == 0


def fuzz(reader: Boundary, seconds: float, first: int) -> int:
    """Draws inputs for so many seconds; 1 where one showed a fault."""
    where = FOUND / reader.name
    where.mkdir(parents=True, exist_ok=True)
    counts = {True: 0, False: 0}
    last = b""

    def look(data: bytes) -> None:
        nonlocal last
        last = data
        # What is there where a reader takes the process down.
        (where / "last").write_bytes(data)
        counts[reader.check(data)] += 1

    started = time.monotonic()
    while time.monotonic() - started < seconds:
        try:
            _drawn(reader, look, first)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            name = hashlib.sha256(last).hexdigest()[:12]
            (where / name).write_bytes(last)
            print(f"{reader.name}: FAULT at {where / name}: {last[:200]!r}")
            traceback.print_exception(error, limit=-6)
            return 1
        first += 1
    (where / "last").unlink(missing_ok=True)
    print(f"{reader.name}: {counts[True]:,} read, {counts[False]:,} refused", flush=True)
    return 0


def _drawn(reader: Boundary, look: object, number: int) -> None:
    """One batch of inputs of one seed; where one shows a fault, the smallest that does."""
    run = settings(
        max_examples=BATCH,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )(given(reader.inputs)(lambda data: look(data)))  # type: ignore[operator]
    seed(number)(run)()


if __name__ == "__main__":
    run_cli(main)
