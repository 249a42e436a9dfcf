"""Small tokenizers of the usual kinds, trained on the sources of the standard library."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from seedbed.kernels.tokens import bpe
from seedbed.kernels.tokens.packing import SPECIAL_TOKENS

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA3.replace("{1,3}", "")
GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
WORDS = (
    "caf\u00e9 na\u00efve Stra\u00dfe \u4f60\u597d \u0434\u043e\u043c \U0001f600 I'm we'll 1234 "
)


@functools.cache
def sources() -> tuple[str, ...]:
    """Source files of the standard library, in the order of their names."""
    folder = Path(json.__file__).parents[1]
    names = [*sorted(folder.glob("*.py"))[:60], *sorted((folder / "json").glob("*.py"))]
    return tuple(path.read_text(encoding="utf-8") for path in names)


def split(pattern: str) -> pre_tokenizers.PreTokenizer:
    """The pre-tokenizer that cuts words by `pattern`."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def train(pre_tokenizer: pre_tokenizers.PreTokenizer) -> Tokenizer:
    """A tokenizer of 900 tokens without special ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*sources()[:12], WORDS * 20], trainer)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def foreign(special: list[str]) -> str:
    """The bytes alone, with other special tokens than ours."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(special)
    return str(made.to_str())


@functools.cache
def ours() -> str:
    """As train_tokenizer makes it."""
    return bpe.train([*sources()[:12], WORDS * 20], 900)


@functools.cache
def gpt2() -> str:
    """ByteLevel with its own pattern."""
    return str(train(pre_tokenizers.ByteLevel(add_prefix_space=False)).to_str())


@functools.cache
def llama3() -> str:
    """As converted from tiktoken: `ignore_merges`, and every split of a token as a merge."""
    tokenizer = json.loads(train(split(LLAMA3)).to_str())
    model = tokenizer["model"]
    made: dict[str, None] = dict.fromkeys("".join(pair) for pair in model["merges"])
    order = {token: i for i, token in enumerate(made)}
    model["merges"] = [
        [token[:i], token[i:]]
        for token in made
        for i in range(1, len(token))
        if all(len(p) == 1 or order.get(p, 10**9) < order[token] for p in (token[:i], token[i:]))
    ]
    model["ignore_merges"] = True
    tokenizer["post_processor"] = {
        "type": "Sequence",
        "processors": [
            {
                "type": "ByteLevel",
                "add_prefix_space": True,
                "trim_offsets": False,
                "use_regex": True,
            },
            {
                "type": "TemplateProcessing",
                "single": [
                    {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                ],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
                "special_tokens": {
                    "<|endoftext|>": {
                        "id": "<|endoftext|>",
                        "ids": [900],
                        "tokens": ["<|endoftext|>"],
                    }
                },
            },
        ],
    }
    return json.dumps(tokenizer)


@functools.cache
def qwen() -> str:
    """NFC, and added tokens that are not special, with all that such a token can ask for."""
    tokenizer = train(split(QWEN))
    tokenizer.add_tokens(
        [
            AddedToken("<tool_call>", normalized=False),
            AddedToken("<think>", lstrip=True),
            AddedToken("caf\u00e9s", rstrip=True),
            AddedToken("self", single_word=True),
            AddedToken("self.x"),
            # NFC would change it, but it is looked for before.
            AddedToken("cafe\u0301!", normalized=False),
        ]
    )
    parsed = json.loads(tokenizer.to_str())
    parsed["normalizer"] = {"type": "NFC"}
    return json.dumps(parsed)


@functools.cache
def gpt4o() -> str:
    """The longest pattern that is in use."""
    return str(train(split(GPT4O)).to_str())


KINDS = {"ours": ours, "gpt2": gpt2, "llama3": llama3, "qwen": qwen, "gpt4o": gpt4o}


def changed(tokenizer_json: str, **parts: Any) -> str:
    """The tokenizer with other values at some paths: `model__unk_token`."""
    parsed = json.loads(tokenizer_json)
    for path, value in parts.items():
        *folders, name = path.split("__")
        place = parsed
        for folder in folders:
            place = place[int(folder) if folder.isdigit() else folder]
        place[name] = value
    return json.dumps(parsed)
