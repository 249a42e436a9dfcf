"""Which tokenizers have a tiktoken form, and why the others have none.

What is tested: seedbed/kernels/tokens/tiktoken_form.py, seedbed/kernels/tokens/split_pattern.py.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiktoken import Encoding
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers

from seedbed.kernels.tokens import split_pattern
from seedbed.kernels.tokens.split_pattern import TAIL, NotExpressible, for_tiktoken
from seedbed.kernels.tokens.tiktoken_form import ALPHABET, TiktokenForm
from seedbed.kernels.tokens.tiktoken_form import express as express_tokenizer
from tests.seedbed.kernels.tokens import made_tokenizers as made


def express(tokenizer_json: str) -> TiktokenForm:
    return express_tokenizer(Tokenizer.from_str(tokenizer_json))


BYTES = {bytes([byte]): byte for byte in range(256)}


def bpe(merges: list[tuple[str, str]], extra: tuple[str, ...] = (), **settings: Any) -> str:
    """A tokenizer with these merges, and every byte."""
    vocabulary = dict.fromkeys((*sorted(ALPHABET), *extra, *(a + b for a, b in merges)))
    ids = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(ids, merges, **settings))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return str(tokenizer.to_str())


def test_ids_need_not_follow_the_order_of_merges() -> None:
    parsed = json.loads(bpe([("a", "b"), ("ab", "c")]))
    parsed["model"]["vocab"] |= {"ab": 257, "abc": 256}
    form = express(json.dumps(parsed))
    ranks = form.encoding.encode_ordinary("ab abc")
    expected = Tokenizer.from_str(json.dumps(parsed)).encode("ab abc").ids
    assert [form.ids[rank] for rank in ranks] == expected
    assert expected[0] == 257


@pytest.mark.parametrize("form", ["pairs", "strings"])
def test_both_ways_to_write_a_merge_are_read(form: str) -> None:
    parsed = json.loads(bpe([("a", "b"), ("ab", "c")]))
    if form == "strings":
        parsed["model"]["merges"] = ["a b", "ab c"]
    assert express(json.dumps(parsed)).encoding.encode_ordinary("abc") == [257]


def test_what_an_old_file_leaves_out_has_its_default() -> None:
    parsed = json.loads(bpe([("a", "b")]))
    for name in ("normalizer", "post_processor", "truncation", "padding", "added_tokens"):
        del parsed[name]
    for name in ("type", "dropout", "ignore_merges"):
        del parsed["model"][name]
    del parsed["pre_tokenizer"]["use_regex"]
    assert express(json.dumps(parsed)).ids == express(bpe([("a", "b")])).ids
    del parsed["pre_tokenizer"]
    with pytest.raises(NotExpressible, match="its pre-tokenizer is none"):
        express(json.dumps(parsed))


REFUSED = {
    "its model is WordLevel, not BPE": {
        "model": {"type": "WordLevel", "vocab": {}, "unk_token": "?"}
    },
    "its model has dropout=0.1": {"model__dropout": 0.1},
    "its model has end_of_word_suffix=</w>": {"model__end_of_word_suffix": "</w>"},
    "it has truncation": {"truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0}},
    "it has padding": {
        "padding": {
            "strategy": "BatchLongest",
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "?",
        }
    },
    "its normalizer is NFKC": {"normalizer": {"type": "NFKC"}},
    "its post-processor is BertProcessing": {
        "post_processor": {"type": "BertProcessing", "sep": ["?", 1], "cls": ["?", 0]}
    },
    "its pre-tokenizer is none": {"pre_tokenizer": None},
    "its pre-tokenizer is Whitespace": {"pre_tokenizer": {"type": "Whitespace"}},
    "its pre-tokenizer adds a space before texts": {
        "pre_tokenizer__pretokenizers__1__add_prefix_space": True
    },
    "its pre-tokenizer cuts words by two patterns, or by none": {
        "pre_tokenizer__pretokenizers__1__use_regex": True
    },
    "its words are MergedWithNext, with invert=False": {
        "pre_tokenizer__pretokenizers__0__behavior": "MergedWithNext"
    },
    "its words are Isolated, with invert=True": {"pre_tokenizer__pretokenizers__0__invert": True},
    "its words are cut at a string": {"pre_tokenizer__pretokenizers__0__pattern": {"String": " "}},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_each_setting_that_tiktoken_has_not_is_named(reason: str) -> None:
    with pytest.raises(NotExpressible) as error:
        express(made.changed(made.ours(), **REFUSED[reason]))
    assert str(error.value) == reason


def test_a_byte_without_a_token_is_refused() -> None:
    parsed = json.loads(made.ours())
    parsed["model"]["vocab"]["<taken>"] = parsed["model"]["vocab"].pop("\u0100")
    with pytest.raises(NotExpressible, match="byte 0 has no token"):
        express(json.dumps(parsed))


def test_merges_of_one_token_must_stand_together() -> None:
    merges = [("a", "b"), ("b", "c"), ("ab", "c"), ("d", "e"), ("a", "bc")]
    with pytest.raises(NotExpressible, match="merges of token 'abc' do not stand together"):
        express(bpe(merges))
    # Where they do, the second is never reached.
    assert express(bpe([*merges[:3], merges[4], merges[3]])).ids


def test_a_part_must_be_merged_before_its_token() -> None:
    merges = [("ab", "c"), ("a", "b")]
    with pytest.raises(NotExpressible, match="'abc' is merged before its part 'ab'"):
        express(bpe(merges))


def test_a_token_that_its_own_bytes_do_not_give_is_refused() -> None:
    # "abc" becomes a + bc, and then nothing; tiktoken would join them.
    merges = [("b", "c"), ("a", "b"), ("ab", "c")]
    with pytest.raises(NotExpressible, match="do not make token 'abc' of its own bytes"):
        express(bpe(merges))
    with pytest.raises(NotExpressible, match="do not make token 'abc' of its own bytes"):
        express(bpe(merges, ignore_merges=True))


def test_a_word_that_no_merge_makes_matters_only_where_words_are_looked_up() -> None:
    assert express(bpe([("a", "b")], extra=("xyz",))).encoding.encode_ordinary("xyz") == [
        [*ALPHABET].index(c) for c in "xyz"
    ]
    with pytest.raises(NotExpressible, match="token 'xyz' is a word that no merge makes"):
        express(bpe([("a", "b")], extra=("xyz",), ignore_merges=True))


def test_added_tokens_that_are_not_special_are_the_ones_to_look_for() -> None:
    tokenizer = Tokenizer.from_str(made.ours())
    tokenizer.add_tokens([AddedToken("<x>"), AddedToken("<y>", special=True)])
    assert express(tokenizer.to_str()).added == ("<x>",)


@settings(max_examples=150, deadline=None)
@given(
    words=st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=30),
    size=st.integers(0, 40),
    texts=st.lists(st.text("abc", max_size=60), max_size=8),
    lose=st.integers(0, 45),
)
def test_whatever_has_a_form_merges_alike(
    words: list[str], size: int, texts: list[str], lose: int
) -> None:
    """Vocabularies over three letters, dense with overlaps; of some a merge is taken away."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(words)], trainer)
    parsed = json.loads(tokenizer.to_str())
    del parsed["model"]["merges"][lose : lose + 1]
    try:
        form = express(json.dumps(parsed))
    except NotExpressible:
        # Only a lost merge can be the reason.
        assert len(parsed["model"]["merges"]) >= lose
        return
    plain = Tokenizer.from_str(json.dumps(parsed))
    for text in (*texts, *words):
        found = [form.ids[rank] for rank in form.encoding.encode_ordinary(text)]
        assert found == plain.encode(text).ids


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"\p{L}+|\s+", "does not end in"),
        (r"\w+|[^\w]" + TAIL, "two engines may read otherwise"),
        (r"\p{L}++|[^\p{L}\s]" + TAIL, "two engines may read otherwise"),
        (r"(?i:ss)|\S" + TAIL, "two engines may read otherwise"),
        (r"\S(?=a)|\S" + TAIL, "two engines may read otherwise"),
        (r"\S{1,3}+" + TAIL, "two engines may read otherwise"),
        (r"[a-z]|\S" + TAIL, "two engines may read otherwise"),
        (r"a?|\S" + TAIL, "matches the empty text: a"),
        (r"\S|\p{N}*\p{L}?" + TAIL, "matches the empty text"),
        (r"\p{L}+|\p{N}" + TAIL, "leaves out the character"),
        (r"\S{3}|\p{L}|\p{N}|[^\p{L}\p{N}\s]{2}" + TAIL, "leaves out the character"),
        (r"\S{3,2}|\S" + TAIL, "two engines may read otherwise"),
    ],
)
def test_a_pattern_that_might_differ_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(NotExpressible, match=reason):
        for_tiktoken(pattern)


ATOMS = [
    *(r"\p{L}", r"\p{Lu}", r"\p{N}", r"\p{M}", r"\s", r"\S", r"\r", r"\n", " ", "a", "'"),
    *(r"[^\s\p{L}\p{N}]", r"[^\r\n\p{L}]", r"[\p{Ll}\p{M}]", r"[\r\n/]", "[a1 ]"),
    *split_pattern.CONTRACTIONS,
]
ALTERNATIVES = st.lists(
    st.tuples(st.sampled_from(ATOMS), st.sampled_from(["", "", "?", "*", "+", "{2}", "{1,3}"])).map(
        "".join
    ),
    min_size=1,
    max_size=4,
).map("".join)
CHARACTERS = st.sampled_from(
    [*"aaASt1' \n\r\t/.!-", "\u00e9", "\u0301", "\u017f", "\xa0", "\u4f60"]
)


@settings(max_examples=300, deadline=None)
@given(
    alternatives=st.lists(ALTERNATIVES, max_size=5),
    texts=st.lists(st.text(CHARACTERS, max_size=30), min_size=1, max_size=6),
)
def test_any_pattern_that_is_accepted_cuts_alike(alternatives: list[str], texts: list[str]) -> None:
    pattern = "|".join([*alternatives, r"\S"]) + TAIL
    try:
        accepted = for_tiktoken(pattern)
    except NotExpressible as error:
        assume("matches the empty text" not in str(error))
        raise
    cut = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    for text in texts:
        assert words(accepted, text) == [word for word, _ in cut.pre_tokenize_str(text)]


def words(pattern: str, text: str) -> list[str]:
    """The words that tiktoken cuts: each is a token where all of the text's substrings are."""
    data = text.encode()
    pieces = {data[i:j] for i in range(len(data)) for j in range(i + 2, len(data) + 1)}
    ranks = BYTES | {piece: 256 + i for i, piece in enumerate(sorted(pieces))}
    encoding = Encoding("words", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return [encoding.decode([token]) for token in encoding.encode_ordinary(text)]
