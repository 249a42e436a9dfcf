"""The GPT model over megatron-core: its attention, packed sequences and weights."""
