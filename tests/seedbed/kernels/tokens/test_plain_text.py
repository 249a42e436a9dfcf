"""Text that is data stays data, and everything else is encoded as ever."""

from __future__ import annotations

import json

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from seedbed.kernels.tokens.packing import DocumentSample, Packer
from seedbed.kernels.tokens.plain_text import NotPlain, Piece, PieceEncoder, plain_tokenizer
from tests.seedbed.kernels.tokens.made_tokenizers import SPECIAL_TOKENS
from tests.tiny_model import TEMPLATE, write_tokenizer

SPELT = 'STOP = ["<|endoftext|>", "<|end|>"]  # <|user|> größe\n'


def template(text: str) -> str:
    return f"<|user|>{text}<|end|><|assistant|>"


@pytest.fixture
def tokenizer(tmp_path):
    write_tokenizer(tmp_path, more=["<think>", "</think>"])
    return AutoTokenizer.from_pretrained(tmp_path)


def decoded(tokenizer, ids) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def test_a_tokenizer_that_cuts_and_pads_reads_texts_whole(tmp_path):
    write_tokenizer(tmp_path)
    made = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    made.enable_truncation(7)
    made.enable_padding(length=9)
    plain = plain_tokenizer(made.to_str())
    assert plain.decode(plain.encode(SPELT).ids, skip_special_tokens=False) == SPELT
    assert not set(range(5)) & set(plain.encode(SPELT).ids)


def test_special_tokens_of_data_are_text_and_those_of_the_template_count(tokenizer):
    encoder = PieceEncoder(tokenizer)
    ids = encoder.ids(encoder.around(template, SPELT))
    assert decoded(tokenizer, ids) == template(SPELT)
    assert [i for i in ids if i < 5] == [2, 4, 3]
    bare = encoder.ids([Piece(SPELT, True)])
    assert ids[1:-2] == bare
    assert not [i for i in bare if i < 5]


def test_without_a_spelt_token_the_ids_are_the_tokenizers_own(tokenizer):
    encoder = PieceEncoder(tokenizer)
    whole = tokenizer(template("  def f(x):\n"), add_special_tokens=False)["input_ids"]
    assert encoder.ids(encoder.around(template, "  def f(x):\n")) == whole
    with_parts = encoder.ids([Piece("<|user|>", False), Piece("x<|end|>y", True)])
    assert with_parts[0] == 2
    assert 4 not in with_parts


def test_tags_that_are_kept_count_in_data_as_well(tokenizer):
    encoder = PieceEncoder(tokenizer)
    text = "<think>\n<|end|>\n</think>\n"
    opened, closed = (tokenizer.convert_tokens_to_ids(t) for t in ("<think>", "</think>"))
    ids = encoder.ids([Piece(text, True)], kept=("<think>", "</think>"))
    assert (ids.count(opened), ids.count(closed), ids.count(4)) == (1, 1, 0)
    assert encoder.ids([Piece(text, True)]).count(opened) == 0


def test_a_template_may_trim_the_text_but_not_change_with_it(tokenizer):
    encoder = PieceEncoder(tokenizer)
    trimmed = encoder.around(lambda text: f"<|user|>{text.strip()}<|end|>", f"\n{SPELT}")
    assert trimmed[1] == Piece(SPELT.strip(), True)

    def fickle(text: str) -> str:
        return f"<|user|>{len(text)}{text}"

    assert encoder.around(fickle, "plain") == [Piece("<|user|>5plain", False)]
    with pytest.raises(NotPlain, match="other words around other texts"):
        encoder.around(fickle, SPELT)


def test_a_token_that_takes_its_blanks_takes_them_between_parts_as_well():
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet())}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken("<|a|>", rstrip=True), AddedToken("<|b|>", lstrip=True)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made)
    pieces = [Piece("<|a|> \n", False), Piece("x<|b|>", True), Piece(" \n<|b|>", False)]
    a, b = tokenizer.convert_tokens_to_ids("<|a|>"), tokenizer.convert_tokens_to_ids("<|b|>")
    middle = plain_tokenizer(made.to_str()).encode("x<|b|>").ids
    assert PieceEncoder(tokenizer).ids(pieces) == [a, *middle, b]


def alphabet() -> list[str]:
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def test_a_tokenizer_that_begins_texts_in_its_own_way_is_refused_only_where_it_matters():
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate("▁abx<|>")}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.add_special_tokens(["<|a|>", "<|b|>"])
    encoder = PieceEncoder(PreTrainedTokenizerFast(tokenizer_object=made))
    assert encoder.ids([Piece("<|a|>", False), Piece("xx", True)])
    with pytest.raises(NotPlain, match="where a text begins"):
        encoder.ids([Piece("<|a|>", False), Piece("x<|b|>", True)])


def test_what_is_packed_what_is_measured_and_what_is_asked_have_the_same_tokens(tmp_path):
    write_tokenizer(tmp_path, TEMPLATE, more=[t for t in SPECIAL_TOKENS if "fim" in t])
    text = (tmp_path / "tokenizer.json").read_text()
    packer = Packer(text, 0.0, 1)
    [packed] = packer.encode([DocumentSample("d", 0, "val", SPELT)])
    measured = plain_tokenizer(text).encode(SPELT, add_special_tokens=False).ids
    asked = PieceEncoder(AutoTokenizer.from_pretrained(tmp_path)).ids([Piece(SPELT, True)])
    import numpy as np

    assert np.frombuffer(packed, packer.dtype).tolist()[:-1] == measured == asked
    assert json.loads(text)["added_tokens"]
