"""From verdicts to scores: pass@k, bootstrap intervals, and whether two models differ. Pure.

An item is a problem with its samples: {"task_id": ..., "samples": [{"verdict": ...}]}. A sample
without a verdict on its program (infrastructure, unsupported) does not count. A problem without any
verdict leaves the denominator, and `unjudged` names it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rl.rollouts.rewards import UNJUDGED

Item = dict[str, Any]

DRAWS = 10_000
LEVEL = 0.95
# With at most so many items that differ, all 2^n sign patterns are tried.
EXACT = 14


def summary(items: Sequence[Item]) -> dict[str, Any]:
    """What an evaluation records: pass_at and intervals, over how many problems, and which not.

    counted: how many problems have a verdict. unjudged: the others, by task with the reason.
    unjudged_samples: how many samples have none.
    """
    return {
        "pass_at": pass_at(items),
        "intervals": intervals(items),
        "counted": len(_with_verdict(items)),
        "unjudged": unjudged(items),
        "unjudged_samples": sum(len(item["samples"]) - _counts(item)[0] for item in items),
    }


def unjudged(items: Sequence[Item]) -> dict[str, str]:
    """task_id -> why no sample of it has a verdict, for the items that count in no score."""
    found = {}
    for item in items:
        if item["samples"] and not _counts(item)[0]:
            first = item["samples"][0]
            found[str(item["task_id"])] = f"{first['verdict']}: {first.get('reason', '')}"
    return found


def pass_at(items: Sequence[Item]) -> dict[str, float]:
    """Mean pass@k over the items that have a verdict, for k = 1, 2, 4 and further powers of two.

    The largest k is at most the smallest number of verdicts that such an item has.
    """
    counts = _with_verdict(items)
    return {
        f"pass@{k}": sum(unbiased_pass_at_k(n, c, k) for n, c in counts) / len(counts)
        for k in _ks(counts)
    }


def intervals(items: Sequence[Item], seed: int = 1) -> dict[str, tuple[float, float]]:
    """The 95 % percentile bootstrap interval of each pass@k over resampled items.

    It shows how much a score depends on the choice of problems.
    """
    counts = _with_verdict(items)
    return {
        f"pass@{k}": _interval(np.array([unbiased_pass_at_k(n, c, k) for n, c in counts]), seed)
        for k in _ks(counts)
    }


def unbiased_pass_at_k(n: int, c: int, k: int) -> float:
    """1 - C(n - c, k) / C(n, k) (arXiv 2107.03374 eq. 1).

    This is the chance that k of n samples, c of which are correct, include a correct one.
    """
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def paired(first: Sequence[Item], second: Sequence[Item], seed: int = 1) -> dict[str, Any]:
    """Compares the second model with the first on the items that both answered.

    Returns pass@1 of each, the difference with its 95 % interval (items resampled, pairs kept), and
    the two-sided p-value of a sign-flip permutation test. Its null hypothesis is that an item's
    difference could as well have the other sign. With one sample per item this is McNemar's exact
    test. Up to EXACT differing items all sign patterns are counted, above that DRAWS random ones.
    """
    theirs = {item["task_id"]: item for item in first}
    both = [(theirs[item["task_id"]], item) for item in second if item["task_id"] in theirs]
    shares = np.array(
        [[_share(old), _share(new)] for old, new in both if _counts(old)[0] and _counts(new)[0]]
    )
    if not len(shares):
        return {"items": 0}
    difference = shares[:, 1] - shares[:, 0]
    return {
        "items": len(shares),
        "first": float(shares[:, 0].mean()),
        "second": float(shares[:, 1].mean()),
        "difference": float(difference.mean()),
        "interval": _interval(difference, seed),
        "better": int((difference > 0).sum()),
        "worse": int((difference < 0).sum()),
        "p_value": _sign_flip(difference[difference != 0], seed),
    }


def _sign_flip(difference: np.ndarray, seed: int) -> float:
    count = len(difference)
    if count <= EXACT:
        patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        signs, extra = 1 - 2 * patterns, 0
    else:
        # The observed pattern counts as one draw, because a p-value of 0 would claim too much.
        signs, extra = 1 - 2 * np.random.default_rng(seed).integers(0, 2, (DRAWS, count)), 1
    sums = np.abs(signs @ difference)
    beyond = (sums >= abs(difference.sum()) - 1e-9).sum()
    return float((beyond + extra) / (len(signs) + extra))


def _interval(values: np.ndarray, seed: int) -> tuple[float, float]:
    rng, tail = np.random.default_rng(seed), 100 * (1 - LEVEL) / 2
    means = np.array(
        [values[rng.integers(0, len(values), len(values))].mean() for _ in range(DRAWS // 5)]
    )
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def _counts(item: Item) -> tuple[int, int]:
    """(samples with a verdict, those that pass)."""
    verdicts = [
        sample["verdict"] for sample in item["samples"] if sample["verdict"] not in UNJUDGED
    ]
    return len(verdicts), verdicts.count("pass")


def _with_verdict(items: Sequence[Item]) -> list[tuple[int, int]]:
    """_counts of the items that have a verdict."""
    return [counts for item in items if (counts := _counts(item))[0]]


def _share(item: Item) -> float:
    n, c = _counts(item)
    return c / n


def _ks(counts: Sequence[tuple[int, int]]) -> list[int]:
    fewest = min((n for n, _ in counts), default=0)
    return [2**i for i in range(fewest.bit_length()) if 2**i <= fewest]
