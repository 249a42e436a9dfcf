"""Pretraining that goes on with the model of a Hugging Face folder: parent=FOLDER."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train.checkpoint.hf_folder import examine
from megatron_train.checkpoint.hf_tokenizer import token_ids
from megatron_train.checkpoint.step_folders import latest, read_manifest
from megatron_train.data.manifest import Manifest
from seedbed import json_object

# A stage may train longer sequences at another base or scaling.
_FREE = ("seq_length", "rope_base", "rope", "init_std", "experts.aux_loss")
_FIX = "pack the tokens with the tokenizer of that folder"


def is_folder_of_model(folder: str) -> bool:
    return bool(folder) and (Path(folder) / "config.json").is_file()


def vocabulary(cfg: PretrainConfig, tokens: Manifest) -> int:
    """The vocabulary of the model that a run trains: the tokenizer's, or that of its ancestor.

    Models of others often have more rows than their tokenizer has tokens.

    Raises:
        SeedbedError: where parent is a model's folder that does not fit the settings or the tokens.
    """
    newest = latest(Path(cfg.output) / "pretrain" / "checkpoints")
    if newest is None and is_folder_of_model(cfg.parent):
        return _checked(cfg.model, Path(cfg.parent), tokens)
    if newest is None and cfg.parent:
        newest = Path(cfg.parent)
    if newest is None:
        return tokens.vocab_size
    manifest = read_manifest(newest)
    # Any other difference is refused where the checkpoint is loaded.
    if manifest["extra"].get("tokenizer_size") == tokens.vocab_size:
        return int(manifest["architecture"]["vocab_size"])
    return tokens.vocab_size


def _settings(model: ModelConfig) -> dict[str, Any]:
    """Dotted key -> value of what the weights of a model stand for."""
    settings = dataclasses.asdict(model)
    experts = settings.pop("experts")
    settings |= {f"experts.{name}": value for name, value in experts.items()}
    return {name: value for name, value in settings.items() if name not in _FREE}


def _checked(wanted: ModelConfig, folder: Path, tokens: Manifest) -> int:
    found, vocab_size = examine(folder, wanted.seq_length)
    there, here = _settings(found), _settings(wanted)
    different = [name for name in there if there[name] != here[name]]
    if different:
        raise SeedbedError(
            f"parent={folder} holds another model: "
            + ", ".join(
                f"{name} is {there[name]} there and {here[name]} here" for name in different
            ),
            "set " + " ".join(f"model.{name}={there[name]}" for name in different),
        )
    theirs, ours = (
        token_ids(json_object.read(path / "tokenizer.json", _FIX))
        for path in (folder, tokens.tokenizer)
    )
    if theirs != ours:
        token = next(t for t in (*theirs, *ours) if theirs.get(t) != ours.get(t))
        raise SeedbedError(
            f"{tokens.folder} was packed by another tokenizer than that of parent={folder}: "
            f"{token!r} is {theirs.get(token)} there and {ours.get(token)} here",
            _FIX,
        )
    return vocab_size
