"""Shares with 95 % intervals from weighted samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

# The 97.5 % quantile of the standard normal distribution.
Z = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """A share of a population, estimated from `n` sampled units.

    low, high: the ends of its 95 % interval.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.4f}  [{self.low:.4f}, {self.high:.4f}]  n={self.n:,}"


def share(values: list[float], weights: list[float]) -> Share | None:
    """The weighted mean of `values` (each 0 to 1) with its interval; None without values.

    Wilson's score interval (Wilson 1927, "Probable inference") at Kish's effective sample size
    (Kish 1965, "Survey Sampling", section 11.7: (sum w)**2 / sum w**2), which stays honest at
    shares of 0 and 1, where a bootstrap would give an interval of no width. For values between 0
    and 1 it is conservative: no such value varies more than a coin's.
    """
    if not values:
        return None
    total = sum(weights)
    p = sum(w * v for w, v in zip(weights, values, strict=True)) / total
    n = total**2 / sum(w**2 for w in weights)
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return Share(p, max(0.0, middle - half), min(1.0, middle + half), len(values))
