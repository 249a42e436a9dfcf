"""Evaluation on held-out samples: the same ones each time, in every layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from conf.errors import SeedbedError
from conf.schema.pretrain import PretrainConfig
from megatron_train.data.blend import Blend, bytes_of_labels, micro_batches, open_blend
from megatron_train.data.manifest import Manifest
from megatron_train.parallel import processes
from megatron_train.training.losses import Batch, language_model_loss
from megatron_train.training.state import TrainState
from megatron_train.training.step import eval_loss


@dataclass(frozen=True)
class HeldOut:
    """One source's validation samples.

    batches: this process's share. tokens: how many labels of all shares count. bytes: the text that
    these labels stand for.
    """

    batches: list[Batch]
    tokens: float
    bytes: float


@dataclass(frozen=True)
class Evaluation:
    """Losses by source, their mean under the blend's weights, and bits for each byte of text.

    Bits per byte can be compared between tokenizers: the loss of each token over its bytes.
    """

    loss: float
    by_source: dict[str, float]
    bits_per_byte: float


def open_held_out(
    sources: Mapping[str, Manifest], cfg: PretrainConfig, cache: Path
) -> dict[str, HeldOut]:
    """The first samples of every source's val split, {} when eval_every is 0; collective.

    cache: a folder for indices.

    Raises:
        SeedbedError: where a source has fewer samples than one batch.
    """
    if cfg.eval_every == 0:
        return {}
    held = {}
    for name, manifest in sources.items():
        alone = open_blend({name: manifest}, cfg, "val", cache)
        samples = alone.corpora[0].per_pass
        count = min(cfg.eval_batches, samples // cfg.batch.total)
        if count == 0:
            raise SeedbedError(
                f"the val split of {name} holds {samples} samples, fewer than one batch of "
                f"batch.total = {cfg.batch.total}",
                "curate more data, lower batch.total, or set eval_every=0",
            )
        batches = micro_batches(
            alone, 0, count * cfg.batch.total, cfg.batch, cfg.data.document_mask
        )
        tokens = float(sum(batch["loss_mask"].sum() for batch in batches))
        mine = [tokens, bytes_of_labels(batches, manifest)]
        held[name] = HeldOut(batches, *processes.sum_of_shares(mine))
    return held


def is_due(cfg: PretrainConfig, step: int) -> bool:
    """Whether the run is evaluated after step `step`, counted from 1."""
    return cfg.eval_every > 0 and (step % cfg.eval_every == 0 or step == cfg.schedule.steps)


def evaluate(state: TrainState, held_out: dict[str, HeldOut], train: Blend) -> Evaluation:
    """The losses on all held-out samples; collective. train: the blend whose weights count."""
    losses = {
        name: eval_loss(state, held.batches, language_model_loss).loss
        for name, held in held_out.items()
    }
    nats = size = 0.0
    for name, held in held_out.items():
        nats += losses[name] * held.tokens
        size += held.bytes
    return Evaluation(train.weighted_mean(losses), losses, nats / math.log(2) / size)
