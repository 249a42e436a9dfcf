"""What `make setup` compiles is what the jobs call."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from seedbed.kernels import ngrams, precompile
from seedbed.kernels.models import regression
from seedbed.kernels.near_dup import components, jaccard, minhash, shingles
from seedbed.kernels.near_dup.evidence import Documents, Signing
from seedbed.kernels.source_code import structure, structure_scan, syntax, tree_walk

# The kernels that Python calls. What they call themselves is compiled with them.
CALLED = (
    components._components,
    jaccard._jaccard,
    minhash._band_keys,
    minhash._estimates,
    minhash._signatures,
    ngrams._hash_all,
    ngrams._scan,
    regression.distances,
    shingles._distinct,
    shingles._shingle_hashes,
    structure_scan.scan,
    tree_walk._walk,
)


def as_a_worker_gets_it(texts: list[str], kind: pa.DataType) -> pa.RecordBatch:
    """A part of a batch out of an Arrow message, which cannot be written."""
    batch = pa.record_batch({"text": pa.array(["", *texts], kind)})
    sent = pa.py_buffer(batch.serialize().to_pybytes())
    return pa.ipc.read_record_batch(sent, batch.schema).slice(1)


def test_the_jobs_calls_compile_nothing_more():
    for part in precompile.PARTS:
        part()
    before = [list(kernel.signatures) for kernel in CALLED]
    assert all(before)
    texts = [f"def f_{n}(a, b):\n    return a + b * {n}  # sum\n" * 9 for n in range(5)]
    for kind in (pa.string(), pa.large_string()):
        batch = as_a_worker_gets_it(texts, kind)
        minhash.signatures(shingles.shingle_hashes(batch["text"], 7), 48, 3)
        features = structure.features(batch["text"], ["Python", None, "C", "Go", "Java"])
        index = ngrams.NgramIndex.build([("a", texts[0]), ("b", texts[1])], 8)
        ngrams.smallest_hits(batch["text"], index)
        documents = Documents.of(pa.chunked_array([batch["text"]]), Signing(7, 48, 3))
        ranked = np.array([4, 1, 3, 0])
        keys = minhash.band_keys(documents.signature, 12, 4)[ranked]
        documents.both_looks(ranked, keys, 0.9)
        stored = minhash.to_binary(documents.signature)
        minhash.band_keys(minhash.from_binary(stored, 48), 12, 4)
        components.components(5, ranked[:2], ranked[2:])
        regression.fit(
            features, np.arange(10.0).reshape(5, 2) / 10, 0.5, 0.1, structure.SCALES, (1,)
        ).predict(features)
    syntax.parse(texts[0].encode(), ("python",), walk=True)
    assert [list(kernel.signatures) for kernel in CALLED] == before
