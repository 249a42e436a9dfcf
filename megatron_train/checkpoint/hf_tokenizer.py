"""Does the tokenizer of a Hugging Face folder fit the vocabulary of its model?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from seedbed import json_object

_FIX = "give a folder with the tokenizer that the model was trained with"
_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")


def check_tokenizer(folder: Path, vocab_size: int) -> None:
    """Compares the ids of tokenizer.json and the special tokens with the model's vocabulary.

    Raises:
        SeedbedError: where there is no tokenizer.json, where it has an id that the model has not,
            and for a special token that is none of its tokens.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        others = sorted(one.name for one in folder.glob("tokenizer*") if one.suffix != ".json")
        raise SeedbedError(
            f"{folder} holds no tokenizer.json" + (f", but {others[0]}" if others else ""),
            "save the tokenizer there: AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER)",
        )
    with json_object.shaped(path, "tokenizer", _FIX):
        ids = token_ids(json_object.read(path, _FIX))
    token, highest = max(ids.items(), key=lambda one: one[1], default=("", -1))
    if highest >= vocab_size:
        raise SeedbedError(
            f"{path} has the id {highest} ({token!r}), and the model has {vocab_size} tokens: ids "
            f"must be below {vocab_size}",
            _FIX,
        )
    _check_names(folder, ids)


def token_ids(tokenizer: dict[str, Any]) -> dict[str, int]:
    """Token -> id of a tokenizer.json. Unigram models list their tokens in order."""
    vocabulary = tokenizer["model"]["vocab"]
    if isinstance(vocabulary, dict):
        ids = {str(token): int(number) for token, number in vocabulary.items()}
    else:
        ids = {str(token[0]): number for number, token in enumerate(vocabulary)}
    added = tokenizer.get("added_tokens") or []
    return ids | {str(token["content"]): int(token["id"]) for token in added}


def check_special_ids(folder: Path, vocab_size: int) -> None:
    """Refuses ids of config.json that the model has not. One for padding may be negative: none."""
    path = folder / "config.json"
    config = json_object.read(path, _FIX)
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value = config.get(key)
        for number in value if isinstance(value, list) else [value]:
            if number is None or (key == "pad_token_id" and number == -1):
                continue
            if type(number) is not int or not 0 <= number < vocab_size:
                raise SeedbedError(
                    f"{path}: {key}={value} must be an id from 0 to {vocab_size - 1}", _FIX
                )


def _check_names(folder: Path, ids: dict[str, int]) -> None:
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return
    config = json_object.read(path, _FIX)
    with json_object.shaped(path, "config of a tokenizer", _FIX):
        for role in _ROLES:
            token = config.get(role)
            token = token["content"] if isinstance(token, dict) else token
            if token is not None and token not in ids:
                raise SeedbedError(
                    f"{path} has {role}={token!r}, which is no token of tokenizer.json", _FIX
                )
