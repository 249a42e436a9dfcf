"""MinHash from text to signatures: our kernel against datasketch (xxh32) and rensa.

    python benchmarks/dedup_kernel.py output=DIR [megabytes=40] [rounds=5] [peers=PYTHON]

DIR is a finished run, whose `contents` give the text. `peers` is the Python of a virtual
environment with the peers:

    python -m venv peers
    peers/bin/pip install "datasketch==2.0.0" rensa xxhash numpy pyarrow polars

All tokenize by [A-Za-z0-9_]+ into 5-token shingles and make signatures of 256 permutations, on the
same bytes. Each contestant is a process of its own. They take turns, round by round, so that a busy
machine slows all of them equally. CPU seconds count, not wall seconds.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

NUM_PERM, SHINGLE = 256, 5
ONE_THREAD = dict.fromkeys(("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
GOALS = {"datasketch": 10.0, "rensa": 2.5, "rensa, flat": 2.5}


def ours(texts) -> Callable[[], object]:  # type: ignore[no-untyped-def]
    from seedbed.kernels.near_dup import minhash
    from seedbed.kernels.near_dup.shingles import shingle_hashes

    return lambda: minhash.signatures(shingle_hashes(texts, SHINGLE), NUM_PERM, 1)


def datasketch(texts) -> Callable[[], object]:  # type: ignore[no-untyped-def]
    import xxhash
    from datasketch import MinHash

    documents = texts.to_pylist()
    base = MinHash(num_perm=NUM_PERM, seed=1, hashfunc=xxhash.xxh32_intdigest, scheme="affine32")

    def sign() -> None:
        for text in documents:
            sketch = MinHash(
                num_perm=NUM_PERM,
                seed=1,
                hashfunc=base.hashfunc,
                permutations=base.permutations,
                scheme=base.scheme,
            )
            sketch.update_batch([shingle.encode() for shingle in shingles(text)])

    return sign


def rensa(texts) -> Callable[[], object]:  # type: ignore[no-untyped-def]
    """Rensa's batched entry point, the fastest one that takes tokens."""
    from rensa import RMinHash

    documents = texts.to_pylist()
    return lambda: RMinHash.digest_matrix_from_token_sets(
        [list(shingles(t)) for t in documents], NUM_PERM, 1
    ).to_rows()


def rensa_flat(texts) -> Callable[[], object]:  # type: ignore[no-untyped-def]
    """Rensa's entry point for ready hashes, fed by polars.

    Tokens are hashed in Rust, and shingles are a polynomial in numpy.
    """
    import numpy as np
    import polars
    from rensa import RMinHash

    series = polars.Series(texts.to_pylist())
    powers = [np.uint64(pow(0x9E3779B97F4A7C15, j, 2**64)) for j in range(SHINGLE)]

    def sign() -> None:
        tokens = series.str.extract_all(r"[A-Za-z0-9_]+")
        # `explode` leaves a null for an empty list.
        counts = np.maximum(tokens.list.len().to_numpy().astype(np.int64), 1)
        hashes = np.concatenate([tokens.explode().hash(7).to_numpy(), np.zeros(SHINGLE, np.uint64)])
        length = len(hashes) - SHINGLE
        rolled = sum(hashes[j : j + length] * power for j, power in enumerate(powers))
        shingled = np.maximum(counts - SHINGLE + 1, 1)
        begins = np.repeat(np.cumsum(counts) - counts, counts)
        inside = np.arange(length) - begins < np.repeat(shingled, counts)
        offsets = np.concatenate([[0], np.cumsum(shingled)]).astype(np.uint64)
        RMinHash.digest_matrix_from_flat_token_hashes(
            rolled[inside], offsets, NUM_PERM, 1
        ).to_rows()

    return sign


def shingles(text: str) -> set[str]:
    import re

    words = re.findall(r"[A-Za-z0-9_]+", text)
    return {
        " ".join(words[i : i + SHINGLE])
        for i in range(max(len(words) - SHINGLE + 1, min(len(words), 1)))
    }


def contestant(name: str, sample: str) -> None:
    """The child process: one run per line on stdin, and its CPU seconds on stdout."""
    import pyarrow as pa

    texts = pa.ipc.open_file(sample).read_all()["text"].combine_chunks()
    sign = {"ours": ours, "datasketch": datasketch, "rensa": rensa, "rensa, flat": rensa_flat}[
        name
    ](texts)
    for _ in sys.stdin:
        started = time.process_time()
        sign()
        print(time.process_time() - started, flush=True)


def write_sample(output: str, megabytes: int, path: Path) -> int:
    """Write whole contents in the order of their hashes; returns their bytes."""
    import pyarrow as pa

    from seedbed.tables.reader import DeltaReader

    db = DeltaReader(output, ("contents",))
    query = (
        "SELECT text, bytes FROM "
        "(SELECT *, sum(bytes) OVER (ORDER BY content_sha256) AS upto FROM contents) "
        "WHERE upto <= ? ORDER BY content_sha256"
    )
    rows = db.sql(query, [megabytes * 1_000_000])
    table = pa.table({"text": pa.array([row["text"] for row in rows], pa.string())})
    with pa.ipc.new_file(path, table.schema) as out:
        out.write_table(table)
    return sum(row["bytes"] for row in rows)


def main(argv: list[str]) -> None:
    options = dict(item.split("=", 1) for item in argv)
    rounds, peers = int(options.get("rounds", 5)), options.get("peers", sys.executable)
    with tempfile.TemporaryDirectory() as scratch:
        sample = Path(scratch) / "sample.arrow"
        size = write_sample(options["output"], int(options.get("megabytes", 40)), sample)
        children = {
            name: subprocess.Popen(
                [python, __file__, "--contestant", name, str(sample)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={
                    "PYTHONPATH": str(Path(__file__).parents[1]),
                    "RAYON_NUM_THREADS": "1",
                    "OMP_NUM_THREADS": "1",
                    "POLARS_MAX_THREADS": "1",
                },
            )
            for name, python in (
                ("ours", sys.executable),
                ("datasketch", peers),
                ("rensa", peers),
                ("rensa, flat", peers),
            )
        }
        seconds: dict[str, list[float]] = {name: [] for name in children}
        for turn in range(rounds + 1):
            for name, child in children.items():
                child.stdin.write("go\n")  # type: ignore[union-attr]
                child.stdin.flush()  # type: ignore[union-attr]
                spent = float(child.stdout.readline())  # type: ignore[union-attr]
                # The first round is a warm-up, because numba compiles in it.
                if turn:
                    seconds[name].append(spent)
        for child in children.values():
            child.stdin.close()  # type: ignore[union-attr]
            child.wait()
    speed = {name: size / 1e6 / statistics.median(spent) for name, spent in seconds.items()}
    for name, value in speed.items():
        low, high = (size / 1e6 / bound(seconds[name]) for bound in (max, min))
        print(
            f"{name:<11} {value:7.1f} MB/s per core  (median of {rounds}; {low:.1f} to {high:.1f})"
        )
    ratios = {name: speed["ours"] / speed[name] for name in GOALS}
    for name, goal in GOALS.items():
        print(
            f"ours against {name}: {ratios[name]:.1f} times (goal {goal:g}): "
            f"{'met' if ratios[name] >= goal else 'MISSED'}"
        )
    print(json.dumps({"bytes": size, "MB/s": speed, "ratio": ratios}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contestant"]:
        contestant(*sys.argv[2:])
    else:
        main(sys.argv[1:])
