"""Which shard a sample lies in, and where: a function of the sample alone. Pure.

The key of a sample is sha256(seed, document, epoch). Its leading digits give the shard, and the
order of keys the position in the shard. So neither depends on partitions, workers or machines.
spark_jobs/pack_tokens.py computes the same with Spark's functions.
"""

from __future__ import annotations

import hashlib


def sample_key(seed: int, document_id: str, epoch: int) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(f"{seed}\0{document_id}\0{epoch}".encode()).hexdigest()


def shard_number(key: str, shards: int) -> int:
    """The shard of a key, from 0 to shards - 1."""
    return int(key[:8], 16) * shards // 2**32
