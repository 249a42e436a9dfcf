"""Turns text into training tokens: byte-level BPE, fill in the middle, packing, shard files."""
