"""What stands beside the weights of a Hugging Face folder: settings, tokenizer, card, checksums."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig
from megatron_train.checkpoint.hf_config import to_config
from seedbed import json_object
from seedbed.files import copy_tokenizer, write_whole

_TOKENIZER = "give the tokenizer's folder, such as DIR/tokens/tokenizer"
_ROLES = ("bos", "eos", "pad")
SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class SideFiles:
    """Writes the files of one export.

    tokenizer: a folder with tokenizer.json, and perhaps with the config.json and
    generation_config.json of the model that it came with; None for no tokenizer. card: README.md.
    """

    tokenizer: Path | None = None
    card: str = ""

    def write(
        self, folder: Path, model: ModelConfig, vocab_size: int, dtype: str, sums: dict[str, str]
    ) -> None:
        """Write all of them into `folder`. sums: file -> SHA-256 of what is there already."""
        config = to_config(model, vocab_size, dtype)
        _write_json(folder / "config.json", {**config, **special_ids(self._base)})
        self.write_beside(folder, sums)

    def write_beside(self, folder: Path, sums: dict[str, str]) -> None:
        """Write all but the model's config: what adapters need beside their matrices.

        With a card the folder is meant for others, and gets checksums of all of its files.
        """
        base = self._base
        if base is not None:
            copy_tokenizer(base, folder)
        generation = generation_config(base, special_ids(base))
        _write_json(folder / "generation_config.json", generation)
        if self.card:
            write_whole(folder / "README.md", self.card)
            found = sorted(path for path in folder.iterdir() if path.name != SUMS)
            lines = [f"{sums.get(path.name) or sha256_of(path)}  {path.name}\n" for path in found]
            write_whole(folder / SUMS, "".join(lines))

    @property
    def _base(self) -> Path | None:
        return None if self.tokenizer is None else Path(self.tokenizer)


def special_ids(tokenizer: Path | None) -> dict[str, Any]:
    """bos_token_id, eos_token_id and pad_token_id.

    They are those of the config.json that stands beside the tokenizer, and else the ids of the
    tokens that the tokenizer names; None where there is no such token.
    """
    if tokenizer is None:
        return dict.fromkeys(f"{role}_token_id" for role in _ROLES)
    given = _optional(tokenizer / "config.json")
    named = _named_ids(tokenizer)
    return {key: given[key] if given.get(key) is not None else own for key, own in named.items()}


def _named_ids(tokenizer: Path) -> dict[str, int | None]:
    """The ids of the tokens that the tokenizer itself calls bos, eos and pad."""
    if not (tokenizer / "tokenizer.json").is_file():
        raise SeedbedError(f"{tokenizer} holds no tokenizer.json", _TOKENIZER)
    known = json_object.read(tokenizer / "tokenizer.json", _TOKENIZER)
    named = _optional(tokenizer / "tokenizer_config.json")
    ids: dict[str, int | None] = {}
    with json_object.shaped(tokenizer, "folder of a tokenizer", _TOKENIZER):
        added = known.get("added_tokens") or []
        by_content = {token["content"]: int(token["id"]) for token in added}
        for role in _ROLES:
            token = named.get(f"{role}_token")
            token = token["content"] if isinstance(token, dict) else token
            ids[f"{role}_token_id"] = by_content.get(token)
    return ids


def document_end(folder: Path) -> int | None:
    """The token that ends a document for the model in a folder.

    A config may list several tokens that end a text. Then it is the one that the tokenizer calls
    its end, and else the first of the list.
    """
    ends = as_list(special_ids(folder)["eos_token_id"])
    named = _named_ids(folder)["eos_token_id"]
    return named if named in ends else next(iter(ends), None)


def generation_config(tokenizer: Path | None, special: dict[str, Any]) -> dict[str, Any]:
    """How `generate` samples and where it stops.

    It is the base's own where it has one. The token with which the chat template ends a turn stops
    too, since a chat model writes it where a base model writes the end of a document.
    """
    found: dict[str, Any] = {"do_sample": False, **special}
    if tokenizer is None:
        return found
    given = _optional(tokenizer / "generation_config.json")
    found = {**found, **{key: value for key, value in given.items() if value is not None}}
    if given and "do_sample" not in given:
        del found["do_sample"]
    ends = as_list(found["eos_token_id"])
    ends += [end for end in as_list(special["eos_token_id"]) if end not in ends]
    end = _template_end(tokenizer)
    if end is not None:
        ends = [end, *(one for one in ends if one != end)]
    found["eos_token_id"] = ends[0] if len(ends) == 1 else ends or None
    return found


@functools.cache
def _template_end(tokenizer: Path) -> int | None:
    """The token with which the chat template ends a turn; None without a template.

    GRPO exports after every step, and the tokenizer takes a while to load.
    """
    named = _optional(tokenizer / "tokenizer_config.json")
    if not named.get("chat_template") and not (tokenizer / "chat_template.jinja").is_file():
        return None
    # It imports transformers, which takes seconds.
    from seedbed.inference.chat import Chat

    try:
        return Chat(tokenizer).end_id
    except SeedbedError as error:
        print(f"generate will stop at the end of a document alone: {error.problem}", flush=True)
        return None


def as_list(ids: int | list[int] | None) -> list[int]:
    """A token id that a config may give alone, as a list, or not at all."""
    return [] if ids is None else list(ids) if isinstance(ids, list) else [ids]


def _optional(path: Path) -> dict[str, Any]:
    return json_object.read(path, _TOKENIZER) if path.is_file() else {}


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_whole(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
