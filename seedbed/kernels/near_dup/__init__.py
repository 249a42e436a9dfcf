"""Shingles, MinHash, Jaccard and clusters: the mathematics of near dedup."""
