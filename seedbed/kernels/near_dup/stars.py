"""Which documents of a group to compare: stars in the buckets of their signatures.

In each bucket the document that comes first is the hub, and every other one is paired with it. A
pair that fails says nothing about the failed member and the rest of its bucket. So the first
REHUBBED failed members of each star become hubs themselves: the second look. These are the rules of
spark_jobs/near_dup/stars.py for buckets that need no cut, applied to documents in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Failed members per star that get a second look. It bounds the cost at 32 pairs per member.
REHUBBED = 32


@dataclass(frozen=True)
class Links:
    """Each member of a star with its hub, int64 (links,); indices of documents, hub < member.

    The links are sorted by band, those of a star stand together, and its members ascend.

    star: a number per star.
    """

    band: np.ndarray
    star: np.ndarray
    hub: np.ndarray
    member: np.ndarray


@dataclass(frozen=True)
class Pairs:
    """Pairs of documents, each once, left < right, with the smallest band that found them.

    All are int64 (pairs,).
    """

    left: np.ndarray
    right: np.ndarray
    band: np.ndarray


def star_links(keys: np.ndarray) -> Links:
    """The stars of documents with the buckets `keys`, int64 (documents, bands).

    The documents come in the order that chooses the hub.
    """
    documents, bands = keys.shape
    links: list[tuple[np.ndarray, ...]] = []
    stars = 0
    for band in range(bands):
        order = np.argsort(keys[:, band], kind="stable")
        begins = np.ones(documents, bool)
        begins[1:] = keys[order[1:], band] != keys[order[:-1], band]
        first = np.maximum.accumulate(np.where(begins, np.arange(documents), 0))
        star = np.cumsum(begins)[~begins] + stars
        stars += documents
        links.append((np.full(len(star), band), star, order[first[~begins]], order[~begins]))
    if not links:
        return Links(*np.zeros((4, 0), np.int64))
    return Links(*(np.concatenate(column) for column in zip(*links, strict=True)))


def first_look(links: Links, documents: int) -> tuple[Pairs, np.ndarray]:
    """(pairs, pair of each link): every linked pair once."""
    code, at, pair = np.unique(
        links.hub * documents + links.member, return_index=True, return_inverse=True
    )
    # The links are sorted by band, so the first of equal links has the smallest.
    return _pairs(code, links.band[at], documents), pair


def second_look(links: Links, failed: np.ndarray, seen: Pairs, documents: int) -> Pairs:
    """The pairs of failed members with the other members of their stars that are not in `seen`.

    failed: bool (links,), whether the link's pair fell short of the threshold.
    """
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for band in np.unique(links.band[failed]):
        low, high = np.searchsorted(links.band, [band, band + 1])
        code = _rehubbed(links.star[low:high], links.member[low:high], failed[low:high], documents)
        found.append((code, np.full(len(code), band)))
    if not found:
        return Pairs(*np.zeros((3, 0), np.int64))
    codes, bands = (np.concatenate(column) for column in zip(*found, strict=True))
    code, at = np.unique(codes, return_index=True)
    new = ~np.isin(code, seen.left * documents + seen.right)
    return _pairs(code[new], bands[at[new]], documents)


def _rehubbed(
    star: np.ndarray, member: np.ndarray, failed: np.ndarray, documents: int
) -> np.ndarray:
    """The pairs of the second look in one band, each once, as left * documents + right."""
    begins = np.ones(len(star), bool)
    begins[1:] = star[1:] != star[:-1]
    first = np.flatnonzero(begins)
    size = np.diff(np.append(first, len(star)))
    run = np.cumsum(begins) - 1
    failures = np.cumsum(failed)
    rank = failures - (failures - failed)[first][run]
    again = np.flatnonzero(failed & (rank <= REHUBBED))
    counts = size[run[again]]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    one = np.repeat(member[again], counts)
    other = member[np.repeat(first[run[again]], counts) + within]
    code = np.minimum(one, other) * documents + np.maximum(one, other)
    return np.unique(code[one != other])


def _pairs(code: np.ndarray, band: np.ndarray, documents: int) -> Pairs:
    return Pairs(code // max(documents, 1), code % max(documents, 1), band)
