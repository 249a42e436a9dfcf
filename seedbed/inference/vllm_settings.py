"""How vLLM is started, in a process of ours and as a server alike, so that both sample the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conf.schema.rl import EngineConfig


def arguments(model: Path, max_length: int, cfg: EngineConfig) -> dict[str, Any]:
    """The arguments of vllm.LLM. With hyphens they are the flags of the server.

    max_length: tokens of prompt and response together.
    """
    found = {
        "model": str(model),
        "dtype": cfg.dtype,
        "max_model_len": max_length,
        "max_num_seqs": cfg.max_sequences,
        # For a prompt that is cut over two passes vLLM rewinds its seeded generator, which a
        # generator on the CPU cannot do.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(max_length, 8192),
        "enforce_eager": True,
        "enable_prefix_caching": True,
        # Log-probabilities are those of the distribution that is sampled from, with temperature
        # and top-p.
        "logprobs_mode": "processed_logprobs",
        # The request alone decides how to sample, and not the model's generation_config.
        "generation_config": "vllm",
        "worker_extension_cls": "seedbed.inference.worker_extension.Extension",
        "seed": 0,
    }
    if cfg.transfer == "nccl":
        found["weight_transfer_config"] = {"backend": "nccl"}
    return found


def environment(cfg: EngineConfig) -> dict[str, str]:
    """The environment variables of the process that vLLM runs in."""
    return {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": str(cfg.kv_cache_gb),
        # vLLM would bind its threads to cores that the trainer uses, too.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(cfg.threads),
    }
