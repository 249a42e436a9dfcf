"""Which processes are slower than the others until their gradients are ready."""

from __future__ import annotations

import statistics

# A process is slow above this multiple of the median.
SLOW = 1.15
# So many of the slowest are named.
_NAMED = 4


def report(seconds: list[float], hosts: list[str]) -> str | None:
    """Who is slow, in words, or None when nobody is.

    seconds: those that each process took until its gradients were ready. Processes of one tensor-
    or pipeline-parallel group wait for each other, so a slow one shows with its group.
    """
    middle = statistics.median(seconds)
    slow = [
        (took / middle, rank)
        for rank, took in enumerate(seconds)
        if middle > 0 and took > SLOW * middle
    ]
    if not slow:
        return None
    worst = ", ".join(
        f"process {rank} on {hosts[rank]} {ratio:.2f}x"
        for ratio, rank in sorted(slow, reverse=True)[:_NAMED]
    )
    return (
        f"slow: {worst} the median of {middle:.3f} s until gradients are ready "
        f"({len(slow)} of {len(seconds)} processes)"
    )
