"""Shingles, MinHash, Jaccard similarity and clusters: the algorithms of near dedup."""
