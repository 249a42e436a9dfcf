"""Fill in the middle as a pure function of (seed, document, epoch).

So a sample is the same on any machine, in any order and after a resume.

The form is SPM, `<[fim-suffix]>SUFFIX<[fim-prefix]>PREFIX<[fim-middle]>MIDDLE`, with a random split
between characters (Seed-Coder, Sec 2.2.6, which found SPM slightly better than PSM). The paper does
not give the distribution of the split. Here two cuts are drawn uniformly over all positions, both
ends included, as in Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the
Middle". So empty prefixes, middles and suffixes occur.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Split(NamedTuple):
    """A document cut into three parts: prefix + middle + suffix is the text."""

    prefix: str
    middle: str
    suffix: str


def split(text: str, seed: int, document_id: str, epoch: int, rate: float) -> Split | None:
    """The cut of this document in this epoch, or None where it stays left to right.

    rate: the share of documents to cut, from 0 to 1.
    """
    digest = hashlib.sha256(f"fim\0{seed}\0{document_id}\0{epoch}".encode()).digest()
    draw, one, two = (int.from_bytes(digest[i : i + 8], "little") for i in (0, 8, 16))
    if draw >= int(rate * 2**64):
        return None
    first, second = sorted((one % (len(text) + 1), two % (len(text) + 1)))
    return Split(text[:first], text[first:second], text[second:])
