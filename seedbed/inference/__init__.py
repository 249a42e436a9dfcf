"""Everything that asks a model: vLLM engines, endpoints, prompts, chat, checksums of weights."""
