"""The data side: source archives in, Delta tables and token shards out.

One file per job; `runtime/` owns reading, writing, resume and lineage.
"""
