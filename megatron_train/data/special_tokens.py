"""How a tokenizer calls the special tokens of packing: as told, as ours, or refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path

from tokenizers import Tokenizer

from conf.errors import SeedbedError
from seedbed import json_object
from seedbed.kernels.tokens.packing import OURS, SpecialNames


def special_names(folder: Path, given: Iterable[str], fim_rate: float) -> SpecialNames:
    """The names of a tokenizer's special tokens: those that are given, else ours where it has them.

    The end of a document may also be the eos_token of its tokenizer_config.json. Nothing else is
    guessed.

    Raises:
        SeedbedError: for an unknown role, and for a token that is needed and has no name.
    """
    roles = [one.name for one in fields(SpecialNames)]
    told: dict[str, str] = {}
    for word in given:
        role, _, name = word.partition("=")
        if role not in roles or not name:
            raise SeedbedError(f"--special {word} is no role=TOKEN", f"roles: {', '.join(roles)}")
        told[role] = name
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    absent = [name for name in told.values() if tokenizer.token_to_id(name) is None]
    special = sorted(t.content for t in tokenizer.get_added_tokens_decoder().values() if t.special)
    known = f"its special tokens: {' '.join(special) or 'none'}"
    if absent:
        raise SeedbedError(f"the tokenizer of {folder} has no {' '.join(absent)}", known)
    ours = {
        role: name for role, name in vars(OURS).items() if tokenizer.token_to_id(name) is not None
    }
    names = replace(SpecialNames("", "", "", "", ""), **{**ours, **told})
    if not names.end:
        names = replace(names, end=_eos(folder, tokenizer))
    marks = ("fim_suffix", "fim_prefix", "fim_middle") if fim_rate else ()
    unnamed = [role for role in ("end", *marks) if not getattr(names, role)]
    if unnamed:
        less = ", or set --fim-rate 0" if marks else ""
        raise SeedbedError(
            f"the tokenizer of {folder} has no token of ours for: {', '.join(unnamed)}",
            f"name them: {' '.join(f'--special {role}=TOKEN' for role in unnamed)}{less}; {known}",
        )
    return names


def _eos(folder: Path, tokenizer: Tokenizer) -> str:
    path = folder / "tokenizer_config.json"
    config = json_object.read(path, "mend that file") if path.is_file() else {}
    token = config.get("eos_token")
    token = token.get("content") if isinstance(token, dict) else token
    if not isinstance(token, str) or tokenizer.token_to_id(token) is None:
        return ""
    print(f"documents end with {token}, the eos_token of {path}")
    return token
