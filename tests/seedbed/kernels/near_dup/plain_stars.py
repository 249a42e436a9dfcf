"""The rules of stars, read plainly over lists."""

from __future__ import annotations

from seedbed.kernels.near_dup.stars import REHUBBED

# Pair of documents, smaller first -> the smallest band that found it.
Found = dict[tuple[int, int], int]


def plain_stars(keys: list[list[int]]) -> list[tuple[int, list[int]]]:
    """(band, members in order) of every bucket of two or more documents."""
    stars = []
    for band in range(len(keys[0]) if keys else 0):
        buckets: dict[int, list[int]] = {}
        for document, row in enumerate(keys):
            buckets.setdefault(row[band], []).append(document)
        stars += [(band, members) for members in buckets.values() if len(members) > 1]
    return stars


def plain_first_look(keys: list[list[int]]) -> Found:
    found: Found = {}
    for band, (hub, *others) in plain_stars(keys):
        for member in others:
            found.setdefault((hub, member), band)
    return found


def plain_second_look(keys: list[list[int]], first: Found, failed: set[tuple[int, int]]) -> Found:
    """failed: the pairs of `first` that fell short of the threshold."""
    found: Found = {}
    for band, (hub, *others) in plain_stars(keys):
        again = [member for member in others if (hub, member) in failed][:REHUBBED]
        for one in again:
            for other in others:
                pair = (min(one, other), max(one, other))
                if one != other and pair not in first:
                    found.setdefault(pair, band)
    return found
