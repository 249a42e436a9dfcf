"""The families of our models as transformers names them: class, keys of config.json, defaults.

Defaults are those of transformers' configuration classes (5.19); a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from conf.errors import SeedbedError
from conf.schema.experts import ExpertsConfig
from conf.schema.layout import ModelConfig

Config = dict[str, Any]
_FULL, _SLIDING = "full_attention", "sliding_attention"


def _no_pattern(config: Config) -> tuple[str, int]:
    return "f", 0


def _no_keys(model: ModelConfig) -> Config:
    return {}


@dataclass(frozen=True)
class HfFamily:
    """What a family's config.json has beyond that of all."""

    architecture: str
    model_type: str
    # What a missing key means. None: as the common rule has it (hf_config.py).
    defaults: Config = field(default_factory=dict)
    # Keys that it knows, and the one value that is supported.
    fixed: Config = field(default_factory=dict)
    # Keys that change nothing here, and why.
    unread: dict[str, str] = field(default_factory=dict)
    norm_eps: str = "rms_norm_eps"
    # Further keys, which give (letters of the layers, window), and the way back.
    pattern_keys: tuple[str, ...] = ()
    pattern: Callable[[Config], tuple[str, int]] = _no_pattern
    pattern_back: Callable[[ModelConfig], Config] = _no_keys
    # What the width of the MLP or of an expert is called, and whether there are experts.
    ffn: str = "intermediate_size"
    experts: bool = False
    # Whether norm_topk_prob says if the weights of a token's experts are divided by their sum;
    # otherwise they always are.
    may_normalize: bool = False

    def expert_keys(self) -> tuple[str, ...]:
        """The keys that describe the experts."""
        if not self.experts:
            return ()
        asked = ("norm_topk_prob",) if self.may_normalize else ()
        return ("num_local_experts", "num_experts_per_tok", "router_aux_loss_coef", *asked)

    def experts_of(self, config: Config) -> ExpertsConfig:
        """The experts of a config with defaults filled in."""
        if not self.experts:
            return ExpertsConfig()
        return ExpertsConfig(
            number=config["num_local_experts"],
            top_k=config["num_experts_per_tok"],
            normalize=config["norm_topk_prob"] if self.may_normalize else True,
            aux_loss=config["router_aux_loss_coef"],
        )

    def experts_back(self, experts: ExpertsConfig) -> Config:
        values = (experts.number, experts.top_k, experts.aux_loss, experts.normalize)
        return dict(zip(self.expert_keys(), values, strict=False))


def _one_window(config: Config) -> tuple[str, int]:
    """Every layer has the window, where there is one."""
    window = config["sliding_window"]
    return ("w", window) if window else ("f", 0)


def _one_window_back(model: ModelConfig) -> Config:
    return {"sliding_window": model.window or None}


def _window_of_last(config: Config) -> tuple[str, int]:
    """Qwen: layers from max_window_layers on have the window, or those that layer_types names."""
    window = config["sliding_window"]
    if not config["use_sliding_window"] or not window:
        return "f", 0
    layers = range(config["num_hidden_layers"])
    kinds = config["layer_types"] or [
        _SLIDING if i >= config["max_window_layers"] else _FULL for i in layers
    ]
    letters_of_all = _letters(kinds, len(layers))
    return letters_of_all, window if "w" in letters_of_all else 0


def _window_of_last_back(model: ModelConfig) -> Config:
    kinds = _kinds(model)
    if not model.window:
        return {"use_sliding_window": False, "sliding_window": None, "layer_types": kinds}
    # Where layer_types is not read, max_window_layers is.
    first = model.kinds().find("w")
    return {
        "use_sliding_window": True,
        "sliding_window": model.window,
        "max_window_layers": first,
        "layer_types": kinds,
    }


def _windows_in_three_of_four(config: Config) -> tuple[str, int]:
    """OLMo 3: every fourth layer sees all, or those that layer_types names."""
    layers = range(config["num_hidden_layers"])
    kinds = config["layer_types"] or [_FULL if i % 4 == 3 else _SLIDING for i in layers]
    letters, window = _letters(kinds, len(layers)), config["sliding_window"]
    if "w" in letters and not window:
        raise SeedbedError(
            f"config.json has sliding_window={window}, and layers that slide",
            f"name {_FULL} in layer_types for each layer, or give the window",
        )
    return letters, window if "w" in letters else 0


def _windows_back(model: ModelConfig) -> Config:
    return {"sliding_window": model.window or None, "layer_types": _kinds(model)}


def _letters(kinds: list[str], layers: int) -> str:
    """layer_types -> a letter for each layer."""
    letters = {_FULL: "f", _SLIDING: "w"}
    if len(kinds) != layers or not {*kinds} <= {*letters}:
        raise SeedbedError(
            f"config.json has layer_types={kinds} for num_hidden_layers={layers}",
            f"name {_FULL} or {_SLIDING} for each layer",
        )
    return "".join(letters[kind] for kind in kinds)


def _kinds(model: ModelConfig) -> list[str]:
    """The way back."""
    names = {"f": _FULL, "w": _SLIDING}
    return [names[kind] for kind in model.kinds()]


def _without_positions(config: Config) -> tuple[str, int]:
    """SmolLM3: no_rope_layers has a 1 for each layer that has rotary positions."""
    layers, every = config["num_hidden_layers"], config["no_rope_layer_interval"]
    has = config["no_rope_layers"] or [int((i + 1) % every != 0) for i in range(layers)]
    if len(has) != layers or {*has} - {0, 1}:
        raise SeedbedError(
            f"config.json has no_rope_layers={has} for num_hidden_layers={layers}",
            "give a 1 or a 0 for each layer",
        )
    return "".join("f" if one else "n" for one in has), 0


def _without_positions_back(model: ModelConfig) -> Config:
    kinds = model.kinds()
    return {
        "no_rope_layers": [int(kind != "n") for kind in kinds],
        "layer_types": [_FULL] * len(kinds),
        "use_sliding_window": False,
        "sliding_window": None,
    }


_QWEN_KEYS = ("use_sliding_window", "sliding_window", "max_window_layers", "layer_types")
_QWEN_DEFAULTS = {
    "num_key_value_heads": 32,
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
    "layer_types": None,
}
_NO_BIAS = {"attention_bias": False}
_ONLY_WITH_WINDOWS = "read only with use_sliding_window, which is refused"
_ROUTER_OUTPUT = {"output_router_logits": "the load-balancing loss is always part of training here"}

# By the names of conf/schema/families.py.
HF_FAMILIES = {
    "llama": HfFamily(
        "LlamaForCausalLM",
        "llama",
        fixed={**_NO_BIAS, "mlp_bias": False, "rope_interleaved": False},
        unread={
            "is_llama_config": "a note of SmolLM2's authors",
            "pretraining_tp": "the same sums in another order",
        },
    ),
    "qwen2": HfFamily(
        "Qwen2ForCausalLM",
        "qwen2",
        defaults=_QWEN_DEFAULTS,
        pattern_keys=_QWEN_KEYS,
        pattern=_window_of_last,
        pattern_back=_window_of_last_back,
    ),
    "qwen3": HfFamily(
        "Qwen3ForCausalLM",
        "qwen3",
        defaults={**_QWEN_DEFAULTS, "head_dim": 128},
        fixed=_NO_BIAS,
        pattern_keys=_QWEN_KEYS,
        pattern=_window_of_last,
        pattern_back=_window_of_last_back,
    ),
    "mistral": HfFamily(
        "MistralForCausalLM",
        "mistral",
        defaults={"num_key_value_heads": 8, "sliding_window": 4096},
        pattern_keys=("sliding_window",),
        pattern=_one_window,
        pattern_back=_one_window_back,
    ),
    "smollm3": HfFamily(
        "SmolLM3ForCausalLM",
        "smollm3",
        defaults={
            "num_key_value_heads": 4,
            "tie_word_embeddings": True,
            "rope_theta": 2_000_000.0,
            "no_rope_layers": None,
            "no_rope_layer_interval": 4,
        },
        fixed={
            **_NO_BIAS,
            "mlp_bias": False,
            "use_sliding_window": False,
        },
        unread=dict.fromkeys(
            ("sliding_window", "layer_types", "max_window_layers", "pretraining_tp"),
            _ONLY_WITH_WINDOWS,
        ),
        pattern_keys=("no_rope_layers", "no_rope_layer_interval"),
        pattern=_without_positions,
        pattern_back=_without_positions_back,
    ),
    "starcoder2": HfFamily(
        "Starcoder2ForCausalLM",
        "starcoder2",
        defaults={
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
            "hidden_act": "gelu_pytorch_tanh",
            "norm_epsilon": 1e-5,
            "initializer_range": 0.018042,
            "sliding_window": None,
        },
        fixed={
            "use_bias": True,
            "mlp_type": "default",
            "norm_type": "layer_norm",
        },
        unread={"activation_function": "hidden_act is what transformers reads"},
        norm_eps="norm_epsilon",
        pattern_keys=("sliding_window",),
        pattern=_one_window,
        pattern_back=_one_window_back,
    ),
    "mixtral": HfFamily(
        "MixtralForCausalLM",
        "mixtral",
        defaults={
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1_000_000.0,
            "sliding_window": None,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "router_aux_loss_coef": 0.001,
        },
        # It multiplies what a layer reads by random numbers in training.
        fixed={"router_jitter_noise": 0.0},
        unread=_ROUTER_OUTPUT,
        pattern_keys=("sliding_window",),
        pattern=_one_window,
        pattern_back=_one_window_back,
        experts=True,
    ),
    "qwen3_moe": HfFamily(
        "Qwen3MoeForCausalLM",
        "qwen3_moe",
        defaults={
            "num_key_value_heads": 4,
            "moe_intermediate_size": 768,
            "num_local_experts": 128,
            "num_experts_per_tok": 8,
            "norm_topk_prob": False,
            "router_aux_loss_coef": 0.001,
        },
        # Layers without experts, and windows, are not read.
        fixed={
            **_NO_BIAS,
            "use_sliding_window": False,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
        },
        unread={
            **_ROUTER_OUTPUT,
            "intermediate_size": "the width of layers without experts, of which there are none",
            **dict.fromkeys(("sliding_window", "max_window_layers"), _ONLY_WITH_WINDOWS),
        },
        ffn="moe_intermediate_size",
        experts=True,
        may_normalize=True,
    ),
    "olmo2": HfFamily("Olmo2ForCausalLM", "olmo2", defaults={"rms_norm_eps": 1e-5}, fixed=_NO_BIAS),
    "olmo3": HfFamily(
        "Olmo3ForCausalLM",
        "olmo3",
        defaults={
            "rms_norm_eps": 1e-5,
            "rope_theta": 500_000.0,
            "sliding_window": 4096,
            "layer_types": None,
        },
        fixed=_NO_BIAS,
        pattern_keys=("sliding_window", "layer_types"),
        pattern=_windows_in_three_of_four,
        pattern_back=_windows_back,
    ),
}
