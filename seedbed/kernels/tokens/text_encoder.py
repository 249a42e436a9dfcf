"""Texts to token bytes: by tiktoken where a tokenizer has such a form, else by `tokenizers`.

tiktoken is several times as fast (docs/benchmarks.md), and gives the same tokens
(seedbed/kernels/tokens/tiktoken_form.py says when and why). Strings that spell special tokens are
plain text (seedbed/kernels/tokens/plain_text.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from seedbed.kernels.tokens.plain_text import plain_tokenizer
from seedbed.kernels.tokens.split_pattern import NotExpressible
from seedbed.kernels.tokens.tiktoken_form import TiktokenForm, express

FAST = "tiktoken"
# No character below U+0300 changes under NFC, alone or beside another.
MAY_CHANGE = re.compile("[\u0300-\U0010ffff]")

# Encoded both ways when an encoder is made. The words hold contractions with a long s and a
# ligature, every kind of white space, and letters and digits of Unicode 15, 16 and 17.
PROBES = (
    "",
    "\0",
    "def f(x):\r\n\treturn  x[ 1234567 ]\n\n\n    # größe \u00a0 e\u0301 \ufeff x",
    "I'M we'Re it'\u017f it'\ufb06 can't 'LL'd''ve ''",
    "".join(
        f"a{chr(c)}{chr(c)} {chr(c)}b" for c in (*range(33), 0x85, 0xA0, 0x2003, 0x2028, 0x3000)
    ),
    " \U0001e4d0\U0001c89a\U000105c0\U00010d40\ua7ce\u1c89 \U0001f469\u200d\U0001f4bb \uff11\u2163",
    " " * 300 + "x" + "\t \n" * 50 + "=" * 300 + "a" * 300 + "\u4e2d" * 100 + "9" * 100,
)


class TextEncoder:
    """Encodes texts as the bytes of their tokens in `dtype` (seedbed/kernels/tokens/packing.py).

    reason: why tiktoken does not serve; empty where it does.
    """

    def __init__(self, tokenizer_json: str, dtype: str):
        self._tokenizer = plain_tokenizer(tokenizer_json)
        self._dtype = dtype
        self._form: TiktokenForm | None = None
        self.reason = ""
        try:
            self._form = express(self._tokenizer)
            self._ids = np.array(self._form.ids, dtype)
            self._probe()
        except NotExpressible as error:
            self._form, self.reason = None, str(error)

    @property
    def note(self) -> str:
        """By what texts are encoded, for people."""
        return f"tokenizers, since {self.reason}" if self.reason else FAST

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """Token bytes of each text. Raises TypeError for a text with a lone surrogate."""
        found = [self._by_tiktoken(text) for text in texts]
        left = [i for i, tokens in enumerate(found) if tokens is None]
        others = iter(self._by_tokenizers([texts[i] for i in left]))
        return [next(others) if tokens is None else tokens for tokens in found]

    def _by_tiktoken(self, text: str) -> bytes | None:
        """None where `tokenizers` has to encode the text."""
        form = self._form
        if form is None:
            return None
        if form.nfc and MAY_CHANGE.search(text):
            # Its own tables and not Python's, which are of another version of Unicode.
            if _has_added(form, text):
                return None
            text = self._tokenizer.normalizer.normalize_str(text)
        if _has_added(form, text):
            return None
        try:
            ranks = form.encoding.encode_to_numpy(text, disallowed_special=())
        except ValueError:
            # A run of a million blanks is too deep for its pattern. Which texts are is fixed.
            return None
        return self._ids[ranks].tobytes()

    def _by_tokenizers(self, texts: list[str]) -> list[bytes]:
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(one.ids, self._dtype).tobytes() for one in encoded]

    def _probe(self) -> None:
        """Raises NotExpressible where the two differ, as other versions of them might."""
        for text, tokens in zip(PROBES, self._by_tokenizers(list(PROBES)), strict=True):
            if self._by_tiktoken(text) not in (tokens, None):
                raise NotExpressible(f"tiktoken gives other tokens for {text[:60]!r}")


def _has_added(form: TiktokenForm, text: str) -> bool:
    return any(content in text for content in form.added)
