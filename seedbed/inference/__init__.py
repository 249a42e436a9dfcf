"""Everything that asks a model: vLLM engines, endpoints, prompts and checksums of weights."""
