"""FP8 behind one object, which the model, the step and the checkpoints ask.

    policy = policy_of(cfg.fp8)    # refuses what this device cannot compute
    policy.install(model, layers)  # once for each part of the model that this process builds
    policy.begin_step()            # before the first forward pass of a step
    policy.end_step()              # after Adam; not after a step that was refused
    policy.save(), policy.load()   # what a checkpoint keeps beside weights and Adam's state

Only a delayed recipe has state: the amaxes of its last steps, from which its scales follow. It is
kept as plain tensors that are the same in every layout. Transformer Engine itself would keep them
as pickled bytes, which it then refuses to load (a pickle can run code).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import fp8_utils, parallel_state
from megatron.core.dist_checkpointing import ShardedTensor
from megatron.core.tensor_parallel import ColumnParallelLinear, RowParallelLinear

from conf.errors import SeedbedError
from conf.schema.fp8 import Fp8Config
from megatron_train.fp8 import support
from megatron_train.fp8.linear import Fp8Linear

# The end of the names under which Transformer Engine's layers pickle their FP8 state.
_PICKLED = "_extra_state"


class NoFp8:
    """Training in bf16 or fp32: every answer is "nothing to do". The other policies build on it."""

    # What a checkpoint keeps, in words. Two runs can share it only where the words are equal.
    kept = ""

    def __init__(self) -> None:
        # Whether the model's layers are Transformer Engine's.
        self.transformer_engine = support.have_transformer_engine()

    def megatron_fields(self) -> dict[str, Any]:
        """The FP8 fields of megatron-core's TransformerConfig."""
        return {}

    def install(self, model: torch.nn.Module, layers: int) -> None:
        """Prepare one GPTModel of this process. layers: those of the whole model."""

    def begin_step(self) -> None:
        """Forget what forward and backward passes outside of a step have left."""

    def end_step(self) -> None:
        """Take over what the step has shown of the tensors' sizes. Collective."""

    @contextlib.contextmanager
    def switched_off(self) -> Iterator[None]:
        """Inside, the model computes in bf16."""
        yield

    def save(self) -> dict[str, ShardedTensor]:
        """The state to be saved; {} where nothing is kept."""
        return {}

    def expect(self, kept: str, folder: str) -> dict[str, ShardedTensor]:
        """What to read from a checkpoint in `folder` that keeps `kept`.

        {} where this recipe keeps nothing, or where the checkpoint was written without FP8: scales
        then start at 1, as in a new run.

        Raises:
            SeedbedError: for a checkpoint that keeps something else.
        """
        if not self.kept or not kept:
            return {}
        if self.kept != kept:
            raise SeedbedError(
                f"{folder} keeps the FP8 scales of {kept}; this run's are of {self.kept}",
                "restore fp8.history and fp8.emulate, or take only its weights "
                "(python -m megatron_train.export_hf)",
            )
        return self._expected()

    def load(self, loaded: dict[str, torch.Tensor]) -> None:
        """Put back what `expect` named."""

    def is_pickled(self, name: str) -> bool:
        """Whether an entry of the model's state is pickled, and so never saved or loaded."""
        return name.endswith(_PICKLED)

    def _expected(self) -> dict[str, ShardedTensor]:
        return self.save()


class _Fp8(NoFp8):
    """What the emulation and Transformer Engine share."""

    def __init__(self, cfg: Fp8Config):
        super().__init__()
        self._cfg = cfg
        # The transformer layers of this process, in order.
        self._layers: list[torch.nn.Module] = []
        if cfg.recipe == "delayed":
            where = "emulated" if cfg.emulate else "Transformer Engine"
            self.kept = f"{cfg.history} steps, {where}"

    def install(self, model: torch.nn.Module, layers: int) -> None:
        self._layers += model.decoder.layers  # type: ignore[union-attr]
        self._count = layers

    def save(self) -> dict[str, ShardedTensor]:
        """One global tensor [layers, ...] for each linear layer and kind of state."""
        if not self.kept:
            return {}
        replica = (
            0,
            parallel_state.get_tensor_model_parallel_rank(),
            parallel_state.get_data_parallel_rank(True),
        )
        return {
            f"{number}.{name}": ShardedTensor.from_rank_offsets(
                f"fp8.{name}", tensor.clone()[None], (0, number, self._count), replica_id=replica
            )
            for number, name, tensor in self._tensors()
        }

    @torch.no_grad()
    def load(self, loaded: dict[str, torch.Tensor]) -> None:
        for number, name, tensor in self._tensors():
            tensor.copy_(loaded[f"{number}.{name}"][0])

    def _tensors(self) -> Iterator[tuple[int, str, torch.Tensor]]:
        """(layer, name within it, tensor) of all that is kept."""
        raise NotImplementedError


class EmulatedFp8(_Fp8):
    """The rounding of a recipe in megatron-core's own linear layers, on any device."""

    def __init__(self, cfg: Fp8Config):
        super().__init__(cfg)
        self.transformer_engine = False
        self._linears: list[tuple[int, str, Fp8Linear]] = []

    def install(self, model: torch.nn.Module, layers: int) -> None:
        """Every linear layer of a transformer layer computes with an Fp8Linear.

        The bf16 layers at both ends are left as they are.
        """
        super().install(model, layers)
        for layer in model.decoder.layers:  # type: ignore[union-attr]
            number = layer.layer_number - 1
            if not self._cfg.bf16_ends <= number < layers - self._cfg.bf16_ends:
                continue
            for name, module in layer.named_modules():
                if isinstance(module, ColumnParallelLinear | RowParallelLinear):
                    linear = Fp8Linear(self._cfg, module.weight.device)
                    module._forward_impl = linear
                    self._linears.append((number, name, linear))

    @torch.no_grad()
    def begin_step(self) -> None:
        for _, _, linear in self._linears:
            linear.amax.zero_()

    def end_step(self) -> None:
        if not self.kept or not self._linears:
            return
        amaxes = torch.stack([linear.amax for _, _, linear in self._linears])
        dist.all_reduce(
            amaxes, dist.ReduceOp.MAX, group=parallel_state.get_tensor_and_data_parallel_group(True)
        )
        for (_, _, linear), amax in zip(self._linears, amaxes, strict=True):
            linear.set_history(torch.cat([amax[:, None], linear.history[:, :-1]], dim=1))

    @contextlib.contextmanager
    def switched_off(self) -> Iterator[None]:
        try:
            for _, _, linear in self._linears:
                linear.enabled = False
            yield
        finally:
            for _, _, linear in self._linears:
                linear.enabled = True

    def load(self, loaded: dict[str, torch.Tensor]) -> None:
        super().load(loaded)
        for _, _, linear in self._linears:
            linear.set_history(linear.history)

    def _tensors(self) -> Iterator[tuple[int, str, torch.Tensor]]:
        for number, name, linear in self._linears:
            yield number, f"{name}.history", linear.history


class TransformerEngineFp8(_Fp8):
    """FP8 on tensor cores. Transformer Engine keeps the amaxes and sets the scales itself."""

    def megatron_fields(self) -> dict[str, Any]:
        cfg = self._cfg
        return {
            "fp8": cfg.format,
            "fp8_recipe": cfg.recipe,
            "fp8_amax_history_len": cfg.history,
            "fp8_amax_compute_algo": "max",
            "first_last_layers_bf16": cfg.bf16_ends > 0,
            "num_layers_at_start_in_bf16": cfg.bf16_ends,
            "num_layers_at_end_in_bf16": cfg.bf16_ends,
        }

    def install(self, model: torch.nn.Module, layers: int) -> None:
        super().install(model, layers)
        # Every part of the model shares this TransformerConfig with the schedule.
        self._config = model.config

    @contextlib.contextmanager
    def switched_off(self) -> Iterator[None]:
        """megatron-core opens no FP8 context where its config names no format."""
        asked = self._config.fp8  # type: ignore[union-attr]
        try:
            self._config.fp8 = None  # type: ignore[union-attr]
            yield
        finally:
            self._config.fp8 = asked  # type: ignore[union-attr]

    def _expected(self) -> dict[str, ShardedTensor]:
        """Transformer Engine makes these tensors in its first forward pass; `load` needs them."""
        recipe = fp8_utils.get_fp8_recipe(self._config)
        for _, _, module in self._modules():
            # The forward pass would set it. Each of our modules is a single product.
            module.fp8_meta["num_gemms"] = 1
            module.fp8_meta["recipe"] = recipe
            module.init_fp8_meta_tensors(recipe)
        return self.save()

    def _modules(self) -> Iterator[tuple[int, str, Any]]:
        for layer in self._layers:
            for name, module in layer.named_modules():
                if hasattr(module, "fp8_meta") and hasattr(module, "weight"):
                    yield layer.layer_number - 1, name, module  # type: ignore[operator]

    def _tensors(self) -> Iterator[tuple[int, str, torch.Tensor]]:
        for number, name, module in self._modules():
            for direction in ("scaling_fwd", "scaling_bwd"):
                state = module.fp8_meta[direction]
                yield number, f"{name}.{direction}.amax_history", state.amax_history
                yield number, f"{name}.{direction}.scale", state.scale


def policy_of(cfg: Fp8Config) -> NoFp8:
    """The policy that a config asks for.

    Raises:
        SeedbedError: for FP8 that this process cannot compute, and for a foreign `apex`.
    """
    support.refuse_unusable(cfg)
    if not cfg.on:
        return NoFp8()
    return EmulatedFp8(cfg) if cfg.emulate else TransformerEngineFp8(cfg)
