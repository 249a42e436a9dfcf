"""megatron-core's schedule over the micro-batches of one step, in any layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.pipeline_parallel.schedules import get_forward_backward_func

from conf.errors import SeedbedError
from conf.schema.layout import ParallelConfig
from megatron_train.model import shared_prefix
from megatron_train.model.gpt import rotated_by
from megatron_train.model.packed_sequences import cu_seqlens, packed
from megatron_train.parallel import context_parallel, processes
from megatron_train.training.label_logprobs import (
    Wanted,
    counted_positions,
    logprobs_of_labels,
)
from megatron_train.training.losses import Batch, LossFunction, Sums
from megatron_train.training.state import TrainState


def run(
    state: TrainState,
    micro_batches: Sequence[Batch],
    loss_fn: LossFunction,
    temperature: float = 1.0,
    forward_only: bool = False,
) -> list[dict[str, torch.Tensor]]:
    """Forward passes, and backward passes unless `forward_only`; collective.

    Returns the sums of each micro-batch (loss, tokens, metrics) on the last pipeline stage, and []
    on the others.

    Raises:
        SeedbedError: for micro-batches whose shape or number the layout cannot take.
    """
    size, length = micro_batches[0]["tokens"].shape
    _check_shapes(state.layout, [tuple(batch["tokens"].shape) for batch in micro_batches])
    # Transformer Engine keeps documents apart in rows that are laid end to end. For the schedule
    # they are then one long sequence.
    packing = "document_ids" in micro_batches[0] and state.fp8.transformer_engine
    if packing and state.layout.cp > 1:
        raise SeedbedError(
            f"parallel.cp={state.layout.cp} with Transformer Engine cuts every document in "
            f"{2 * state.layout.cp}, and documents have any length",
            "leave data.document_mask and packing off, or set parallel.cp=1",
        )

    def forward_step(
        batches: Any, chunk: torch.nn.Module
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], Any]]:
        batch = dict(next(batches))
        ids = batch.pop("document_ids", None)
        lengths = batch.pop("prefix_lengths", None)
        bounds = lengths if ids is None else cu_seqlens(ids)
        layout = packed(bounds, processes.device()) if packing else None
        batch = context_parallel.cut(batch)
        rows = (1, -1) if packing else batch["tokens"].shape
        mask = batch.get("loss_mask")
        where = batch.get("response_positions")
        if mask is not None and where is not None:
            mask = _in_row(mask, where, batch["tokens"])
        # Found where the batch was made, since a GPU would be waited for.
        counted = counted_positions(None if mask is None else mask.reshape(rows))
        places = (
            None if lengths is None else shared_prefix.positions(lengths, batch["tokens"].size(1))
        )
        batch = {key: value.to(processes.device()) for key, value in batch.items()}
        if counted is not None:
            counted = counted.to(processes.device())
        with rotated_by(chunk, places):
            output = chunk(
                batch["tokens"].reshape(rows),
                # No position ids: rotary positions follow from the place in the sequence or
                # document.
                None,
                # Our attention takes cu_seqlens or prefix_lengths as its "attention_mask".
                None if packing else bounds,
                labels=batch["labels"].reshape(rows),
                packed_seq_params=layout,
                output_processor=logprobs_of_labels,
                output_processor_context=Wanted(state.vocab_size, temperature, counted),
            )

        def loss(logprobs: torch.Tensor) -> Sums:
            logprobs = logprobs.view(batch["labels"].shape)
            if where is not None:
                found = logprobs[0, batch["response_positions"]]
                logprobs = torch.where(batch["loss_mask"] != 0, found, torch.zeros_like(found))
            total, count, sums = loss_fn(logprobs, batch)
            return total, count, {"loss": total.detach(), "tokens": count, **sums}

        return output, loss

    return get_forward_backward_func()(
        forward_step_func=forward_step,
        data_iterator=[iter(micro_batches) for _ in state.chunks],
        model=state.chunks,
        num_microbatches=len(micro_batches),
        seq_length=size * length if packing else length,
        micro_batch_size=1 if packing else size,
        forward_only=forward_only,
    )


def _in_row(mask: torch.Tensor, where: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """A loss_mask over responses [n, r] -> the same over the positions of the row, [1, s]."""
    row = torch.zeros(tokens.shape)
    row[0, where[mask != 0]] = 1.0
    return row


def means(sums: list[dict[str, torch.Tensor]]) -> tuple[float, int, dict[str, float]]:
    """Sums of `run` -> (mean loss, tokens, mean metrics), on every process; collective."""
    totals: dict[str, float] = {}
    if parallel_state.is_pipeline_last_stage():
        names = sorted(sums[0])
        values = torch.stack([sum(one[name].double() for one in sums) for name in names])  # type: ignore[misc]
        dist.all_reduce(
            values, group=parallel_state.get_data_parallel_group(with_context_parallel=True)
        )
        totals = dict(zip(names, values.tolist(), strict=True))
    if parallel_state.get_pipeline_model_parallel_world_size() > 1:
        box = [totals]
        last = parallel_state.get_pipeline_model_parallel_last_rank()
        dist.broadcast_object_list(
            box, last, group=parallel_state.get_pipeline_model_parallel_group()
        )
        totals = box[0]
    tokens = totals.pop("tokens")
    averages = {name: total / max(tokens, 1) for name, total in totals.items()}
    return averages.pop("loss"), int(tokens), averages


def _check_shapes(layout: ParallelConfig, shapes: Sequence[tuple[int, ...]]) -> None:
    multiple, count = layout.sequence_multiple(), len(shapes)
    others = set(shapes[1:]) - {shapes[0]}
    if layout.pp > 1 and others:
        raise SeedbedError(
            f"parallel.pp={layout.pp} sends micro-batches of one shape from stage to stage: "
            f"{shapes[0]} and {min(others)} are two",
            "pad them to one shape, or set parallel.pp=1",
        )
    length = next((length for _, length in shapes if length % multiple), None)
    if length is not None:
        raise SeedbedError(
            f"parallel.cp={layout.cp}, parallel.sequence_parallel="
            f"{str(layout.sequence_parallel).lower()} and parallel.tp={layout.tp} cut every "
            f"sequence in {multiple}: {length} % {multiple} = {length % multiple}",
            f"pad the micro-batch to a multiple of {multiple}",
        )
    if layout.vpp > 1 and count % layout.pp:
        raise SeedbedError(
            "an interleaved pipeline takes micro-batches in groups of parallel.pp: "
            f"{count} % {layout.pp} = {count % layout.pp}",
            "change the number of micro-batches, or set parallel.vpp=1",
        )
