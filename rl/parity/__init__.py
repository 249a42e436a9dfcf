"""Whether transformers, megatron-core and vLLM compute the same log-probabilities."""
