"""FP8: one policy object for the trainer; Transformer Engine's layers, or their emulation."""
