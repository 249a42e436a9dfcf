"""The data side: source archives in, Delta tables and token shards out. One job a file; `job.py`
owns reading and writing.
"""
