"""A Hugging Face folder, looked at as a whole before anything is built from it."""

from __future__ import annotations

from pathlib import Path

from conf.schema.layout import ModelConfig
from megatron_train.checkpoint.hf_config import model_config
from megatron_train.checkpoint.hf_tensors import check_tensors
from megatron_train.checkpoint.hf_tokenizer import check_special_ids, check_tokenizer


def examine(
    folder: Path, seq_length: int | None = None, tokenizer: bool = True
) -> tuple[ModelConfig, int]:
    """(our model settings, vocabulary size) of a folder whose parts fit each other.

    tokenizer: whether it must hold one. Only headers of the weights are read.

    Raises:
        SeedbedError: for the first part that is missing, damaged, not known or does not fit.
    """
    folder = Path(folder)
    model, vocab_size = model_config(folder, seq_length)
    check_tensors(folder, model, vocab_size)
    check_special_ids(folder, vocab_size)
    if tokenizer:
        check_tokenizer(folder, vocab_size)
    return model, vocab_size
