"""tiktoken's tokens are those of `tokenizers`, for every kind of tokenizer and of text.

What is tested: seedbed/kernels/tokens/text_encoder.py and what it stands on.
"""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from seedbed.kernels.tokens.packing import SPECIAL_TOKENS
from seedbed.kernels.tokens.text_encoder import TextEncoder
from tests.seedbed.kernels.tokens import made_tokenizers as made

ENCODERS = {kind: TextEncoder(make(), "uint16") for kind, make in made.KINDS.items()}
PLAIN = {kind: Tokenizer.from_str(make()) for kind, make in made.KINDS.items()}
for plain in PLAIN.values():
    plain.encode_special_tokens = True

PIECES = [
    *SPECIAL_TOKENS,
    *(
        "<tool_call>",
        "<think>",
        "caf\u00e9s",
        "cafe\u0301s",
        "cafe\u0301!",
        "self",
        "self.x",
        "<|unused|>",
    ),
    *("'s", "'LL", "'\u017f", "it'\ufb06", "''", "\u212a", "\u0130", "\u01c5", "\u00df", "\u1e9e"),
    *("\r\n", "\n", "\r", "\t", " ", "  ", "    ", "\x0b", "\x1c", "\x85", "\xa0", "\u2028"),
    *("\0", "\x7f", "\ufeff", "\u180e", "\u200b", "\u200d", "e\u0301", "\u0301", "\u1100\u1161"),
    *("0", "12", "123456789", "\uff11", "\u2163", "\u00bd", "\U0001d7d9", "\u0e51"),
    *("a", "A", "aaaa", "self", "def ", "return", "__init__", "x_1", "camelCase", "HTTPServer"),
    *("==", "!!", "/", "//\n", "->", "\\", "\U0001f469\u200d\U0001f4bb", "\u4f60\u597d", "\uac00"),
]
CHARACTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ADVERSARIAL = st.lists(st.sampled_from(PIECES) | CHARACTERS, max_size=30).map("".join)


def differing(kind: str, texts: list[str]) -> list[str]:
    expected = PLAIN[kind].encode_batch_fast(texts, add_special_tokens=False)
    found = ENCODERS[kind].encode(texts)
    return [
        text
        for text, one, tokens in zip(texts, expected, found, strict=True)
        if np.array(one.ids, np.uint16).tobytes() != tokens
    ]


def by_tiktoken(kind: str, text: str) -> bool:
    return ENCODERS[kind]._by_tiktoken(text) is not None


@pytest.mark.parametrize("kind", made.KINDS)
def test_every_usual_kind_of_tokenizer_has_a_form(kind: str) -> None:
    assert ENCODERS[kind].note == "tiktoken"


@pytest.mark.parametrize("kind", made.KINDS)
@settings(max_examples=200, deadline=None)
@given(texts=st.lists(ADVERSARIAL, max_size=4))
def test_any_text_gets_the_same_tokens(kind: str, texts: list[str]) -> None:
    assert differing(kind, texts) == []


@pytest.mark.parametrize("kind", made.KINDS)
def test_real_code_gets_the_same_tokens(kind: str) -> None:
    files = sorted((Path(np.__file__).parent / "lib").rglob("*.py"))
    drawn = random.Random(7).sample(files, 20)
    texts = [path.read_text(encoding="utf-8")[:20_000] for path in drawn] + list(made.sources()[:9])
    assert differing(kind, texts) == []


@pytest.mark.parametrize("kind", ["ours", "qwen", "gpt4o"])
def test_every_code_point_is_of_the_same_kind_to_both(kind: str) -> None:
    """All that are assigned to characters, and a few of the rest, alone and between others."""
    points = [c for c in range(0x32000) if unicodedata.category(chr(c)) not in ("Cs", "Co")]
    points += [*range(0xE000, 0xE010), *range(0xE0000, 0xE0200), *range(0x10FFF0, 0x110000)]
    # Ideographs and syllables are alike: one of 16 is enough.
    points = [
        c for c in points if c < 0x3400 or unicodedata.category(chr(c)) != "Lo" or c % 16 == 3
    ]
    parts = [f"a{chr(c)}b {chr(c)}{chr(c)}1'{chr(c)} \n{chr(c)}." for c in points]
    texts = ["".join(parts[i : i + 50]) for i in range(0, len(parts), 50)]
    assert differing(kind, texts) == []


@pytest.mark.parametrize("kind", ["ours", "llama3"])
@pytest.mark.parametrize("unit", ["a", " ", "\n", "=", "7", "\u00e9", "\0", " \t"])
def test_long_runs_get_the_same_tokens(kind: str, unit: str) -> None:
    assert differing(kind, [unit * 20_000, unit * 20_001 + "x", "x" + unit * 9_999]) == []


def test_a_million_blanks_are_left_to_tokenizers() -> None:
    """fancy-regex refuses to go so deep, and says so. A million letters are no matter."""
    assert by_tiktoken("ours", "a" * 1_000_000)
    blanks = " " * 1_000_100 + "x"
    assert not by_tiktoken("ours", blanks)
    assert differing("ours", [blanks]) == []


def test_only_texts_with_an_added_token_are_left_to_tokenizers() -> None:
    assert by_tiktoken("qwen", "def f(x): return x  # gr\u00f6\u00dfe <|endoftext|>")
    assert by_tiktoken("qwen", "e\u0301")
    assert not by_tiktoken("qwen", "x <think> y")
    # The token stands in the text only once it is in NFC.
    assert not by_tiktoken("qwen", "two cafe\u0301s")
    # This one stands there only before.
    assert not by_tiktoken("qwen", "a cafe\u0301!")
    assert differing("qwen", ["x <think> y", "two cafe\u0301s", "a cafe\u0301!"]) == []


def test_a_batch_keeps_its_order_where_a_text_is_left_to_tokenizers() -> None:
    texts = ["a", "<think>", "", "b", "self", "c"]
    encoder = ENCODERS["qwen"]
    assert encoder.encode(texts) == [encoder.encode([text])[0] for text in texts]
    assert encoder.encode([]) == []
    assert encoder.encode([""]) == [b""]


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_a_lone_surrogate_is_refused_and_not_replaced(text: str) -> None:
    with pytest.raises(TypeError):
        ENCODERS["ours"].encode([text])


def test_a_tokenizer_without_a_form_is_told_with_its_reason_and_encodes_all_the_same() -> None:
    lower = made.changed(made.ours(), normalizer={"type": "Lowercase"})
    encoder = TextEncoder(lower, "uint16")
    assert encoder.note == "tokenizers, since its normalizer is Lowercase"
    assert encoder.encode(["DEF x"]) == ENCODERS["ours"].encode(["def x"])


def test_a_form_that_gives_other_tokens_for_a_probe_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with a version of tiktoken that has other tables of Unicode."""
    monkeypatch.setattr(
        "seedbed.kernels.tokens.split_pattern.for_tiktoken", lambda pattern: r"[\s\S]"
    )
    encoder = TextEncoder(made.ours(), "uint16")
    assert encoder.reason.startswith("tiktoken gives other tokens for 'def f(x)")
    assert encoder.encode(["def x"]) == ENCODERS["ours"].encode(["def x"])
