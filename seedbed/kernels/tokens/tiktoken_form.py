"""A byte-level BPE of Hugging Face's `tokenizers` as a tiktoken encoding with the same tokens.

`tokenizers` merges the pair that stands first in its list of merges. tiktoken knows no list: it
merges the pair whose joined bytes have the lowest rank. The two are the same where

1. every byte has a token;
2. the merges that make one token stand together in the list, and give the token its rank;
3. the parts of a merge are bytes or have a lower rank than their token;
4. each token comes out whole when its own bytes are encoded.

Why: let x|y be neighbours that join to a token t, after all pairs of lower rank are merged. No
merge crossed the borders of t, so between them everything went as if t were encoded alone. By 4
that ends in t, and by 3 its last merge is of the two parts that stand there now. So x and y are
those parts, and tiktoken's merge is one of the list. A rank is not an id here. `ids` translates.

By 4 it is also indifferent that tiktoken looks a whole word up before it merges (`ignore_merges`).
By 1 `unk_token` and `byte_fallback` never apply.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tiktoken import Encoding
from tokenizers import Tokenizer

from seedbed.kernels.tokens import split_pattern
from seedbed.kernels.tokens.split_pattern import NotExpressible

# tiktoken looks for special tokens even where none is allowed. With an empty list it stops at every
# byte, which costs a third of the speed. This one is never allowed, so it stays text.
UNUSED = "<|unused|>"
# They add nothing where `add_special_tokens` is false.
IDLE_POST_PROCESSORS = ("ByteLevel", "TemplateProcessing")


@dataclass(frozen=True)
class TiktokenForm:
    """encoding: gives ranks. ids: rank -> id. nfc: texts are normalized to NFC before.

    added: strings that `tokenizers` cuts out of a text before everything else. A text with one of
    them needs `tokenizers`.
    """

    encoding: Encoding
    ids: list[int]
    nfc: bool
    added: tuple[str, ...]


def express(tokenizer: Tokenizer) -> TiktokenForm:
    """The tiktoken form of a tokenizer, for texts in which special tokens are plain text.

    Raises NotExpressible with the reason where there is none.
    """
    # As the library writes it: old files lack settings, and leave out what is null.
    tokenizer_json = tokenizer.to_str()
    parsed = json.loads(tokenizer_json)
    _refuse_other_settings(parsed)
    pattern = split_pattern.for_tiktoken(_pattern(parsed["pre_tokenizer"]))
    ranks, ids = _ranks(parsed["model"])
    _refuse_split_tokens(tokenizer_json, ranks, parsed["model"]["vocab"])
    encoding = Encoding(
        "corpus",
        pat_str=pattern,
        mergeable_ranks={_to_bytes(token): rank for token, rank in ranks.items()},
        special_tokens={UNUSED: len(ids)},
    )
    return TiktokenForm(
        encoding,
        ids,
        nfc=parsed["normalizer"] is not None,
        added=tuple(t["content"] for t in parsed["added_tokens"] if not t["special"]),
    )


def _alphabet() -> dict[str, int]:
    """Character -> byte of the byte-level alphabet (GPT-2, encoder.py, `bytes_to_unicode`).

    Printable characters of Latin-1 stand for themselves, the other bytes for those from U+0100 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


ALPHABET = _alphabet()


def _to_bytes(token: str) -> bytes:
    return bytes(map(ALPHABET.__getitem__, token))


def _refuse_other_settings(parsed: dict[str, Any]) -> None:
    model = parsed["model"]
    if model["type"] != "BPE":
        raise NotExpressible(f"its model is {model['type']}, not BPE")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model[name]:
            raise NotExpressible(f"its model has {name}={model[name]}")
    for name in ("truncation", "padding"):
        if parsed[name] is not None:
            raise NotExpressible(f"it has {name}")
    normalizer = parsed["normalizer"]
    if normalizer is not None and normalizer["type"] != "NFC":
        raise NotExpressible(f"its normalizer is {normalizer['type']}")
    for step in _steps(parsed["post_processor"], "processors"):
        if step["type"] not in IDLE_POST_PROCESSORS:
            raise NotExpressible(f"its post-processor is {step['type']}")


def _steps(part: dict[str, Any] | None, members: str) -> list[dict[str, Any]]:
    """The members of a Sequence, or the part itself, or nothing."""
    if part is None:
        return []
    return list(part[members]) if part["type"] == "Sequence" else [part]


def _pattern(pre_tokenizer: dict[str, Any] | None) -> str:
    """The pattern by which words are cut, of the two usual forms of a byte-level pre-tokenizer."""
    steps = _steps(pre_tokenizer, "pretokenizers")
    names = [step["type"] for step in steps]
    if names not in (["ByteLevel"], ["Split", "ByteLevel"]):
        raise NotExpressible(f"its pre-tokenizer is {' + '.join(names) or 'none'}")
    if steps[-1]["add_prefix_space"]:
        raise NotExpressible("its pre-tokenizer adds a space before texts")
    if steps[-1]["use_regex"] != (len(steps) == 1):
        raise NotExpressible("its pre-tokenizer cuts words by two patterns, or by none")
    if len(steps) == 1:
        return split_pattern.GPT2
    split = steps[0]
    # What is not matched is kept by the first and removed by the second; the pattern leaves
    # nothing out.
    if (split["behavior"], split["invert"]) not in (("Isolated", False), ("Removed", True)):
        raise NotExpressible(f"its words are {split['behavior']}, with invert={split['invert']}")
    if "Regex" not in split["pattern"]:
        raise NotExpressible("its words are cut at a string")
    return str(split["pattern"]["Regex"])


def _ranks(model: dict[str, Any]) -> tuple[dict[str, int], list[int]]:
    """Token -> rank, and the id of each rank, by rules 1 to 3."""
    vocabulary = model["vocab"]
    missing = sorted(ALPHABET[c] for c in ALPHABET if c not in vocabulary)
    if missing:
        raise NotExpressible(f"byte {missing[0]} has no token")
    ranks = {character: rank for rank, character in enumerate(ALPHABET)}
    newest = ""
    for first, second in model["merges"]:
        token = first + second
        if token in ranks and token != newest:
            raise NotExpressible(f"the merges of token {token!r} do not stand together")
        for part in (first, second):
            if part not in ranks:
                raise NotExpressible(f"token {token!r} is merged before its part {part!r}")
        if token != newest:
            ranks[token] = len(ranks)
        newest = token
    if model["ignore_merges"]:
        _refuse_whole_words(vocabulary, ranks)
    return ranks, [vocabulary[token] for token in ranks]


def _refuse_whole_words(vocabulary: Iterable[str], ranks: dict[str, int]) -> None:
    for token in vocabulary:
        if token not in ranks and all(character in ALPHABET for character in token):
            raise NotExpressible(f"token {token!r} is a word that no merge makes")


def _refuse_split_tokens(
    tokenizer_json: str, ranks: dict[str, int], vocabulary: dict[str, int]
) -> None:
    """Raises NotExpressible by rule 4."""
    model = Tokenizer.from_str(tokenizer_json).model
    model.ignore_merges = False
    for token in ranks:
        parts = model.tokenize(token)
        if len(parts) != 1 or parts[0].id != vocabulary[token]:
            raise NotExpressible(f"the merges do not make token {token!r} of its own bytes")
