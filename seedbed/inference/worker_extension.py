"""What this project adds to vLLM's workers.

`Extension` loads weights completely, gives checksums of the weights in use, and records the outputs
of layers. vLLM mixes it into its worker class (`worker_extension_cls`). Its methods are called by
name, in this process or over HTTP (`/collective_rpc`), so no code crosses a process boundary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from seedbed.inference import checksums, layer_outputs

# Rows of the identity matrix that are multiplied at a time.
ROWS = 256


class Extension:
    """Mixed into a vLLM worker that holds a whole LlamaForCausalLM."""

    model_runner: Any
    parallel_config: Any

    def seedbed_load(self, folder: str) -> None:
        """Takes the weights of an HF folder of the same architecture, wherever old ones were."""
        self.reload_weights(weights_path=folder)  # type: ignore[attr-defined]
        self.seedbed_repack()

    def seedbed_repack(self) -> None:
        """Repacks lm_head from the tied embeddings.

        On a CPU vLLM keeps a packed copy of lm_head. Loading new tied embeddings leaves the old
        copy in place, without an error.
        """
        model = self.model_runner.get_model()
        if model.config.tie_word_embeddings:
            model.lm_head.quant_method.process_weights_after_loading(model.lm_head)

    def seedbed_sums(self) -> dict[str, str]:
        """The checksum of each tensor that the model computes with, by Hugging Face's names."""
        if self.parallel_config.world_size != 1:
            raise ValueError(
                f"weights cut over {self.parallel_config.world_size} workers "
                "have no sums of whole tensors"
            )
        found = tensors(self.model_runner.get_model())
        return {name: checksums.of_tensor(tensor, tensor.dtype) for name, tensor in found}

    def seedbed_record(self) -> None:
        """Records what each layer gives in forward passes, until seedbed_layers is called."""

        def rows(output: Any) -> Tensor:
            # A layer gives two tensors: the change of the residual stream, and the stream before.
            return sum(output) if isinstance(output, tuple) else output  # type: ignore[return-value]

        self._recording = layer_outputs.recorded(
            layer_outputs.llama_modules(self.model_runner.get_model()), rows
        )
        self._recorded = self._recording.__enter__()

    def seedbed_layers(self, file: str, count: str) -> None:
        """Writes the recorded outputs of each layer as safetensors, for the first `count` tokens.

        The names and shapes are those of layer_outputs.py.
        """
        from safetensors.torch import save_file

        self._recording.__exit__(None, None, None)
        save_file(
            {name: value[: int(count)].contiguous() for name, value in self._recorded.items()}, file
        )


@torch.no_grad()
def tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors of vLLM's LlamaForCausalLM, with Hugging Face's names.

    Fused matrices are taken apart, and the padding of the vocabulary is left out.
    """
    config = model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    yield checksums.EMBEDDING, model.model.embed_tokens.weight[: config.vocab_size]
    for number, layer in enumerate(model.model.layers):
        prefix = f"model.layers.{number}."
        parts = in_use(layer.self_attn.qkv_proj, config.hidden_size).split([queries, keys, keys])
        for name, part in zip("qkv", parts, strict=True):
            yield f"{prefix}self_attn.{name}_proj.weight", part
        yield prefix + "self_attn.o_proj.weight", in_use(layer.self_attn.o_proj, queries)
        gate, up = in_use(layer.mlp.gate_up_proj, config.hidden_size).chunk(2)
        yield prefix + "mlp.gate_proj.weight", gate
        yield prefix + "mlp.up_proj.weight", up
        yield prefix + "mlp.down_proj.weight", in_use(layer.mlp.down_proj, config.intermediate_size)
        yield prefix + "input_layernorm.weight", layer.input_layernorm.weight
        yield prefix + "post_attention_layernorm.weight", layer.post_attention_layernorm.weight
    yield "model.norm.weight", model.model.norm.weight
    yield checksums.HEAD, in_use(model.lm_head, config.hidden_size)[: config.vocab_size]


def in_use(layer: Any, inputs: int) -> Tensor:
    """The matrix [outputs, inputs] that a layer multiplies by.

    On a CPU vLLM packs the matrix, and may drop the parameter or leave an old one in its place. The
    product with the identity gives the matrix back exactly: in each sum one term is the weight, and
    all others are zero.
    """
    if not hasattr(layer, "cpu_linear"):
        return layer.weight
    rows = []
    for start in range(0, inputs, ROWS):
        some = torch.eye(min(ROWS, inputs - start), dtype=layer.weight.dtype)
        some = torch.nn.functional.pad(some, (start, inputs - start - len(some)))
        rows.append(layer.quant_method.apply(layer, some))
    return torch.cat(rows).t()
