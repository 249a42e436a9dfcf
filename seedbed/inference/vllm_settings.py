"""How vLLM is started, in this project's own process and as a server alike, so that both sample the
same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conf.schema.rl import EngineConfig


def arguments(model: Path, max_length: int, cfg: EngineConfig) -> dict[str, Any]:
    """Of vllm.LLM; with other hyphens, of the server."""
    found = {
        "model": str(model),
        "dtype": cfg.dtype,
        "max_model_len": max_length,
        "max_num_seqs": cfg.max_sequences,
        # A prompt cut over two passes makes vLLM turn back its seeded generator, which CPU
        # generators cannot do.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(max_length, 8192),
        "enforce_eager": True,
        "enable_prefix_caching": True,
        # of the distribution sampled from: temperature and top-p included
        "logprobs_mode": "processed_logprobs",
        # nothing is sampled otherwise than a request says
        "generation_config": "vllm",
        "worker_extension_cls": "seedbed.inference.worker_extension.Extension",
        "seed": 0,
    }
    return found | (
        {"weight_transfer_config": {"backend": "nccl"}} if cfg.transfer == "nccl" else {}
    )


def environment(cfg: EngineConfig) -> dict[str, str]:
    return {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": str(cfg.kv_cache_gb),
        # binding fights the trainer over the same cores
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(cfg.threads),
    }
