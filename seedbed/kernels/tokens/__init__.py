"""From text to training tokens: byte-level BPE, fill in the middle, packing, shard files."""
