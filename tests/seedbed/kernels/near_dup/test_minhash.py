"""Signatures against datasketch, bit for bit; bands, estimates and true Jaccard against their
definitions.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash, MinHashLSH
from datasketch.lsh import _optimal_param

from conf.schema.curate import NearSettings
from seedbed.kernels.near_dup import minhash
from seedbed.kernels.near_dup.jaccard import jaccard
from seedbed.kernels.near_dup.shingles import Hashes, distinct, shingle_hashes

WORDS = [f"word{i}" for i in range(16)]


def documents(count: int, seed: int = 0) -> list[str]:
    """Texts of 0 to 400 words, every other one an edit of the one before it."""
    generator = np.random.default_rng(seed)
    texts: list[str] = [""]
    while len(texts) < count:
        words = [
            f"{WORDS[i]}{j}"
            for i, j in generator.integers(0, [16, 30], (generator.integers(1, 400), 2))
        ]
        texts.append(" ".join(words))
        for place in generator.integers(0, len(words), generator.integers(0, 12)):
            words[place] = "edited"
        texts.append(" ".join(words))
    return texts[:count]


@pytest.fixture(scope="module")
def hashes() -> Hashes:
    return shingle_hashes(pa.array(documents(60)), 5)


def of(hashes: Hashes, i: int) -> np.ndarray:
    return hashes.values[hashes.offsets[i] : hashes.offsets[i + 1]]


def datasketch_of(hashes: Hashes, i: int, num_perm: int, seed: int) -> MinHash:
    sketch = MinHash(num_perm, seed=seed, hashfunc=lambda h: h & 0xFFFFFFFF, scheme=minhash.SCHEME)
    sketch.update_batch(of(hashes, i).tolist())
    return sketch


@pytest.mark.parametrize(("num_perm", "seed"), [(256, 1), (100, 7)])
def test_signatures_equal_datasketch_bit_for_bit(hashes: Hashes, num_perm: int, seed: int) -> None:
    ours = minhash.signatures(hashes, num_perm, seed)
    theirs = [datasketch_of(hashes, i, num_perm, seed).hashvalues for i in range(len(ours))]
    assert ours.dtype == np.uint32
    np.testing.assert_array_equal(ours, theirs)


def test_a_stored_signature_loads_as_a_datasketch_minhash(hashes: Hashes) -> None:
    column = minhash.to_binary(minhash.signatures(hashes, 256, 1))
    loaded = [
        MinHash(seed=1, scheme="affine32", hashvalues=np.frombuffer(row.as_py(), "<u4"))
        for row in column
    ]
    fed = [datasketch_of(hashes, i, 256, 1) for i in range(len(column))]
    left, right = np.triu_indices(len(column), 1)
    ours = minhash.estimates(minhash.from_binary(column, 256), left, right)
    assert ours.tolist() == [loaded[i].jaccard(fed[j]) for i, j in zip(left, right, strict=True)]

    index = MinHashLSH(num_perm=256, params=(25, 10))
    for i, sketch in enumerate(fed[1:], 1):
        index.insert(i, sketch)
    keys = minhash.band_keys(minhash.from_binary(column, 256), 25, 10)
    for i in range(1, len(keys)):
        assert set(index.query(loaded[i])) == {
            j for j in range(1, len(keys)) if (keys[i] == keys[j]).any()
        }


def test_the_default_bands_are_datasketchs_optimum_for_the_default_threshold() -> None:
    near = NearSettings()
    assert (near.bands, near.rows) == _optimal_param(near.threshold, near.num_perm, 0.5, 0.5)


def test_the_empty_set_has_the_signature_of_an_empty_datasketch_minhash(hashes: Hashes) -> None:
    assert hashes.counts[0] == 0
    np.testing.assert_array_equal(minhash.signatures(hashes, 256, 1)[0], MinHash(256).hashvalues)


def test_repeats_do_not_change_a_signature(hashes: Hashes) -> None:
    np.testing.assert_array_equal(
        minhash.signatures(hashes, 64, 1), minhash.signatures(distinct(hashes), 64, 1)
    )


def test_binary_columns_round_trip_whole_and_sliced(hashes: Hashes) -> None:
    signature = minhash.signatures(hashes, 64, 1)
    column = minhash.to_binary(signature)
    assert column[3].as_py() == signature[3].astype("<u4").tobytes()
    np.testing.assert_array_equal(minhash.from_binary(column, 64), signature)
    np.testing.assert_array_equal(minhash.from_binary(column.slice(5, 9), 64), signature[5:14])
    assert minhash.from_binary(column.slice(0, 0), 64).shape == (0, 64)


def test_a_signature_of_another_length_is_refused(hashes: Hashes) -> None:
    with pytest.raises(ValueError, match="1024"):
        minhash.from_binary(minhash.to_binary(minhash.signatures(hashes, 64, 1)), 64 * 4)


def test_band_keys_depend_on_their_own_rows_only() -> None:
    signature = np.arange(2 * 256, dtype=np.uint32).reshape(2, 256) % 256
    # Row 7 of band 1.
    signature[1, 17] ^= 1
    keys = minhash.band_keys(signature, 25, 10)
    assert np.flatnonzero(keys[0] != keys[1]).tolist() == [1]
    signature[1, 17] ^= 1
    # Beyond the 25 * 10 values that the bands use.
    signature[1, 250:] += 1
    keys = minhash.band_keys(signature, 25, 10)
    assert (keys[0] == keys[1]).all()


def test_true_jaccard_is_the_jaccard_of_the_sets(hashes: Hashes) -> None:
    sets = distinct(hashes)
    left, right = np.triu_indices(60, 1)
    plain = [set(of(sets, i).tolist()) for i in range(60)]
    want = [
        len(plain[i] & plain[j]) / max(len(plain[i] | plain[j]), 1)
        for i, j in zip(left, right, strict=True)
    ]
    got = jaccard(sets, left, right)
    assert got.tolist() == want
    assert max(want) > 0.8


def test_the_estimate_is_unbiased_within_its_theory() -> None:
    """Variance of a MinHash estimate is J (1 - J) / num_perm; 300 pairs, so the mean error stays
    under 4 sigma.
    """
    hashes = shingle_hashes(pa.array(documents(601, seed=3)[1:]), 5)
    left = np.arange(0, 600, 2)
    true = jaccard(distinct(hashes), left, left + 1)
    error = minhash.estimates(minhash.signatures(hashes, 256, 1), left, left + 1) - true
    sigma = np.sqrt(np.mean(true * (1 - true)) / 256)
    assert abs(error.mean()) < 4 * sigma / np.sqrt(300)
    assert 0.8 * sigma < error.std() < 1.2 * sigma
