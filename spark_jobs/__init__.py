"""Curation jobs on Spark: source archives in, Delta tables and token shards out.

Each file here is one job. `runtime/job.py` owns reading and writing.
"""
