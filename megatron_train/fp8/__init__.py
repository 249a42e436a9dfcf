"""FP8: Transformer Engine where there is one, emulation elsewhere, and its numerics."""
