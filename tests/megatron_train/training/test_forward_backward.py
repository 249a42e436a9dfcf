"""Micro-batches that a layout cannot take are refused before a process computes or sends."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from conf.errors import SeedbedError
from conf.schema.pretrain import ParallelConfig
from megatron_train.training.forward_backward import run
from megatron_train.training.losses import language_model_loss


def refused(layout: ParallelConfig, *shapes: tuple[int, int]) -> str:
    batches = [{"tokens": torch.zeros(shape, dtype=torch.int64)} for shape in shapes]
    with pytest.raises(SeedbedError) as caught:
        run(SimpleNamespace(layout=layout), batches, language_model_loss)  # type: ignore[arg-type]
    return caught.value.problem


def test_pipeline_stages_take_one_shape():
    found = refused(ParallelConfig(pp=2), (3, 8), (3, 8), (3, 6))
    assert found == (
        "parallel.pp=2 sends micro-batches of one shape from stage to stage: (3, 8) and (3, 6) "
        "are two"
    )


def test_every_length_must_divide_and_not_the_first_alone():
    found = refused(ParallelConfig(cp=2), (3, 8), (2, 6))
    assert found.endswith("cut every sequence in 4: 6 % 4 = 2")
