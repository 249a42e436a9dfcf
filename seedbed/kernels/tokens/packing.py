"""Encodes batches of texts as the token bytes of a shard.

Source code may spell out a special token, as this project's own does. Such a string stays text
(seedbed/kernels/tokens/plain_text.py). Special ids enter only here, by number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from seedbed.kernels.tokens import fim
from seedbed.kernels.tokens.indexed_dataset import token_dtype
from seedbed.kernels.tokens.text_encoder import TextEncoder

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
# These names are from Sec 2.2.6. The chat tokens are ours, as the paper prints no template.
FIM_SUFFIX, FIM_PREFIX, FIM_MIDDLE = "<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>"
USER, ASSISTANT, END_OF_TURN = "<|user|>", "<|assistant|>", "<|end|>"
# Their ids count from 0 in this order.
SPECIAL_TOKENS = (
    END_OF_TEXT,
    PAD,
    FIM_SUFFIX,
    FIM_PREFIX,
    FIM_MIDDLE,
    USER,
    ASSISTANT,
    END_OF_TURN,
)

# Used only to plan the number of shards. Code takes 2.5 bytes per token with a vocabulary of 4,096,
# and 4 with more than 100,000.
BYTES_PER_TOKEN = 3


@dataclass(frozen=True)
class SpecialNames:
    """How a tokenizer calls the special tokens that packing writes. The defaults are ours.

    Empty names are of tokens that it lacks. end: follows each document.
    """

    end: str = END_OF_TEXT
    pad: str = PAD
    fim_suffix: str = FIM_SUFFIX
    fim_prefix: str = FIM_PREFIX
    fim_middle: str = FIM_MIDDLE

    def ids(self, tokenizer: Tokenizer) -> dict[str, int]:
        """Role -> id, for the roles that have a name; raises KeyError with the names it lacks."""
        wanted = {role: name for role, name in vars(self).items() if name}
        found = {role: tokenizer.token_to_id(name) for role, name in wanted.items()}
        missing = [wanted[role] for role, number in found.items() if number is None]
        if missing:
            raise KeyError(", ".join(missing))
        return {role: number for role, number in found.items() if number is not None}


OURS = SpecialNames()


@dataclass(frozen=True)
class DocumentSample:
    """One document in one epoch; its `split` is train or val."""

    document_id: str
    epoch: int
    split: str
    text: str


class Packer:
    """Encodes samples with one tokenizer.

    fim_rate: the share of training samples to cut, from 0 to 1. Raises KeyError where the tokenizer
    lacks one of `names`, or where documents are cut and it has no name for a mark.
    """

    def __init__(self, tokenizer_json: str, fim_rate: float, seed: int, names: SpecialNames = OURS):
        tokenizer = Tokenizer.from_str(tokenizer_json)
        self.dtype = token_dtype(tokenizer.get_vocab_size())
        ids = names.ids(tokenizer)
        marks = ("fim_suffix", "fim_prefix", "fim_middle")
        self._end = np.array([ids["end"]], self.dtype).tobytes()
        self._suffix, self._prefix, self._middle = (
            np.array([ids[role]], self.dtype).tobytes() if fim_rate else b"" for role in marks
        )
        self._texts = TextEncoder(tokenizer_json, self.dtype)
        self._fim_rate, self._seed = fim_rate, seed

    @property
    def note(self) -> str:
        """Which library encodes, with the reason where it is the slower one."""
        return self._texts.note

    def encode(self, samples: Sequence[DocumentSample]) -> list[bytes]:
        """Token bytes of each sample, with its end-of-text token.

        Validation samples are never cut, so that their loss does not depend on the fim_rate.
        """
        cuts = [
            None
            if s.split == "val"
            else fim.split(s.text, self._seed, s.document_id, s.epoch, self._fim_rate)
            for s in samples
        ]
        texts = [part for s, cut in zip(samples, cuts, strict=True) for part in (cut or (s.text,))]
        encoded = iter(self._texts.encode(texts))
        out = []
        for cut in cuts:
            if cut is None:
                out.append(next(encoded) + self._end)
            else:
                prefix, middle, suffix = next(encoded), next(encoded), next(encoded)
                parts = (self._suffix, suffix, self._prefix, prefix, self._middle, middle)
                out.append(b"".join((*parts, self._end)))
        return out


def shard_count(total_bytes: int, shard_tokens: int) -> int:
    """Number of shards for documents of `total_bytes`, with about `shard_tokens` tokens each."""
    return max(1, math.ceil(total_bytes / BYTES_PER_TOKEN / shard_tokens))
