"""python -m seedbed.kernels.precompile: compiles the kernels of the curate line, once per machine.

`make setup` runs it. Without it the first run of each job compiles what it calls, in every worker
at the same time. The kernels are called as the jobs call them, since each type of argument is
compiled for itself. A kernel that is missing here is compiled on its first call, as before.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pyarrow as pa

from seedbed.kernels import ngrams
from seedbed.kernels.models import regression
from seedbed.kernels.near_dup import minhash
from seedbed.kernels.near_dup.components import components
from seedbed.kernels.near_dup.evidence import Documents, Signing
from seedbed.kernels.near_dup.shingles import shingle_hashes
from seedbed.kernels.source_code import structure, syntax

# Two near duplicates, and code that has a licence head, a class, strings and comments.
LINES = "".join(f"    total_{n} = check({n}, 'text', [x for x in range({n})])\n" for n in range(20))
CODE = f'# Licensed under the Apache License\n"""Doc."""\nclass A:\n{LINES}'
TEXTS = [CODE, CODE + "# more\n", "int main() { return 0; /* none */ }\n"]


def near_dup() -> None:
    """The kernels of sign_contents, find_near_pairs and cluster_near_dups' components."""
    for texts in arrays():
        minhash.signatures(shingle_hashes(texts, 5), 32, 1)
    documents = Documents.of(pa.chunked_array([pa.array(TEXTS)]), Signing(5, 32, 1))
    ranked = np.arange(len(TEXTS))
    documents.both_looks(ranked, minhash.band_keys(documents.signature, 4, 8), 0.7)
    components(len(TEXTS), ranked[:1], ranked[1:2])


def scores() -> None:
    """The kernels of fit_scorer and score_quality."""
    for texts in arrays():
        structure.features(texts, ["Python", "Python", "C"])
    x = np.arange(12.0).reshape(4, 3)
    regression.distances(x, x[:2])


def overlaps() -> None:
    """The kernels of decontaminate."""
    index = ngrams.NgramIndex.build([("item", CODE)], 10)
    for texts in arrays():
        ngrams.smallest_hits(texts, index)


def trees() -> None:
    """The walk of check_syntax."""
    syntax.can_walk()


def arrays() -> list[pa.Array]:
    """The texts as engines send them: with offsets of 32 bits, and of 64."""
    return [pa.array(TEXTS, kind) for kind in (pa.string(), pa.large_string())]


PARTS = (scores, near_dup, overlaps, trees)


def main() -> None:
    """Call every kernel on a few lines, in a process per core."""
    processes = min(len(os.sched_getaffinity(0)), len(PARTS))
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for done in [pool.submit(part) for part in PARTS]:
            done.result()


if __name__ == "__main__":
    main()
