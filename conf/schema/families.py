"""Families of decoders: how the layers of each differ from those of a Llama.

What is a number of one model, such as the size of a head, stands in ModelConfig (layout.py).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """The form of a layer. The defaults are Llama's (arXiv 2302.13971 Sec 2.2)."""

    # LayerNorm has a bias as well.
    layer_norm: bool = False
    # down(silu(gate x) * up x), or without: down(gelu(up x)), by tanh.
    gated: bool = True
    # Query, key and value have biases.
    qkv_bias: bool = False
    # All linear layers have biases.
    bias: bool = False
    # Query and key are normalised: none, head (each head by itself) or whole (all heads at once).
    qk_norm: str = "none"
    # The norms stand behind attention and MLP, before the residual is added, and not before them.
    post_norm: bool = False
    # Rotary positions are scaled in layers without a window, and plain in those with one.
    plain_windows: bool = False
    # The MLP of every layer is a number of experts (experts.py).
    experts: bool = False


FAMILIES = {
    "llama": Family(),
    # Qwen2 technical report (arXiv 2407.10671 Sec 2.2.1).
    "qwen2": Family(qkv_bias=True),
    # Qwen3 technical report (arXiv 2505.09388 Sec 2): no biases, and QK-Norm.
    "qwen3": Family(qk_norm="head"),
    # Mistral 7B (arXiv 2310.06825 Sec 2): a Llama with a sliding window.
    "mistral": Family(),
    # A Llama, every fourth layer of which has no rotary positions (arXiv 2501.18795).
    "smollm3": Family(),
    # StarCoder 2 (arXiv 2402.19173).
    "starcoder2": Family(layer_norm=True, gated=False, bias=True),
    # OLMo 2 (arXiv 2501.00656).
    "olmo2": Family(qk_norm="whole", post_norm=True),
    # OLMo 3 (arXiv 2512.13961): windows in three layers of four.
    "olmo3": Family(qk_norm="whole", post_norm=True, plain_windows=True),
    # Mixtral of experts (arXiv 2401.04088 Sec 2.1).
    "mixtral": Family(experts=True),
    # Qwen3 technical report (arXiv 2505.09388 Sec 2), models with experts.
    "qwen3_moe": Family(qk_norm="head", experts=True),
}
