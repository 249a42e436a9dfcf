"""How a tokenizer calls the special tokens of packing: as told, as ours, or refused.

The one rule of spark_jobs/train_tokenizer.py, spark_jobs/pack_tokens.py and
megatron_train/pack_texts.py. They differ in how a user tells names, which `Wording` holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tokenizers import Tokenizer

from conf.errors import SeedbedError
from seedbed import json_object
from seedbed.kernels.tokens.packing import OURS, SPECIAL_TOKENS, SpecialNames

ROLES = tuple(one.name for one in fields(SpecialNames))


@dataclass(frozen=True)
class Wording:
    """What a user types.

    where: the tokenizer, for errors. option: with {role}, such as "--special {role}=TOKEN".
    no_fim: what turns fill in the middle off.
    """

    where: str
    option: str
    no_fim: str


def special_names(
    tokenizer_json: str,
    tokenizer_config: str | None,
    told: Mapping[str, str],
    fim_rate: float,
    wording: Wording,
) -> SpecialNames:
    """The names of a tokenizer's special tokens: those that are told, else ours where it has them.

    The end of a document may also be the eos_token of its tokenizer_config.json, which is said.
    Nothing else is guessed. told: role -> token; an empty token tells nothing.

    Raises:
        SeedbedError: for a token that the tokenizer lacks, and for one that is needed and has no
            name.
    """
    tokenizer = _parsed(tokenizer_json, wording.where)
    told = {role: name for role, name in told.items() if name}
    absent = [name for name in told.values() if tokenizer.token_to_id(name) is None]
    special = sorted(t.content for t in tokenizer.get_added_tokens_decoder().values() if t.special)
    known = f"its special tokens: {' '.join(special) or 'none'}"
    if absent:
        raise SeedbedError(f"the tokenizer of {wording.where} has no {' '.join(absent)}", known)
    ours = {
        role: name for role, name in vars(OURS).items() if tokenizer.token_to_id(name) is not None
    }
    names = replace(SpecialNames("", "", "", "", ""), **{**ours, **told})
    if not names.end:
        names = replace(names, end=_eos(tokenizer_config, tokenizer, wording.where))
    marks = ("fim_suffix", "fim_prefix", "fim_middle") if fim_rate else ()
    unnamed = [role for role in ("end", *marks) if not getattr(names, role)]
    if unnamed:
        less = f", or set {wording.no_fim}" if marks else ""
        raise SeedbedError(
            f"the tokenizer of {wording.where} has no token of ours for: {', '.join(unnamed)}",
            f"name them: {' '.join(wording.option.format(role=role) for role in unnamed)}{less}; "
            f"{known}",
        )
    return names


def describe(tokenizer_json: str, names: SpecialNames) -> dict[str, Any]:
    """A manifest's entry for the tokenizer. A tokenizer without padding pads with its end."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    ids = names.ids(tokenizer)
    # Of ours it also has the chat's, which packing does not write.
    special = {name: tokenizer.token_to_id(name) for name in SPECIAL_TOKENS}
    special |= {getattr(names, role): number for role, number in ids.items()}
    return {
        "path": "tokenizer",
        "sha256": hashlib.sha256(tokenizer_json.encode()).hexdigest(),
        "vocab_size": tokenizer.get_vocab_size(),
        "eod": ids["end"],
        "pad": ids.get("pad", ids["end"]),
        "special_tokens": {name: number for name, number in special.items() if number is not None},
    }


def _parsed(tokenizer_json: str, where: str) -> Tokenizer:
    try:
        return Tokenizer.from_str(tokenizer_json)
    except Exception as error:
        # tokenizers raises Exception itself.
        raise SeedbedError(
            f"the tokenizer.json of {where} cannot be read ({str(error).splitlines()[0]})",
            "give a folder that transformers' save_pretrained wrote",
        ) from error


def _eos(config: str | None, tokenizer: Tokenizer, where: str) -> str:
    name = f"tokenizer_config.json of {where}"
    token = json_object.parse(config, name, "mend that file").get("eos_token") if config else None
    token = token.get("content") if isinstance(token, dict) else token
    if not isinstance(token, str) or tokenizer.token_to_id(token) is None:
        return ""
    print(f"documents end with {token}, the eos_token in {name}")
    return token
