"""Fill in the middle and the encoding of samples: seedbed/kernels/tokens/fim.py,
seedbed/kernels/tokens/packing.py.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from tokenizers import Tokenizer

from seedbed.kernels.tokens import bpe, fim
from seedbed.kernels.tokens.packing import SPECIAL_TOKENS, DocumentSample, Packer, shard_count

TEXT = "def add(a, b):\n    return a + b  # größe\n"
IDS = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(4000)]


@pytest.fixture(scope="module")
def tokenizer_json() -> str:
    return bpe.train([TEXT * 3, "class A:\n    x = 12345\n"], 300)


def decode(tokenizer_json: str, tokens: bytes) -> str:
    ids = np.frombuffer(tokens, np.uint16).tolist()
    return Tokenizer.from_str(tokenizer_json).decode(ids, skip_special_tokens=False)


def test_the_three_pieces_make_the_text_again() -> None:
    for document_id in IDS[:200]:
        cut = fim.split(TEXT, 1, document_id, 0, 1.0)
        assert cut is not None
        assert cut.prefix + cut.middle + cut.suffix == TEXT


def test_a_cut_is_a_fixed_function_of_seed_document_and_epoch() -> None:
    cut = fim.split("0123456789" * 4, 1, "doc", 0, 1.0)
    assert cut is not None
    # A golden value: a change here changes every corpus.
    assert [len(piece) for piece in cut] == [23, 7, 10]
    assert cut == fim.split("0123456789" * 4, 1, "doc", 0, 0.9999)
    others = {
        fim.split(TEXT * 9, seed, doc, epoch, 1.0)
        for seed in (1, 2)
        for doc in ("a", "b")
        for epoch in (0, 1)
    }
    assert len(others) == 8


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_the_share_of_cut_documents_is_the_rate(rate: float) -> None:
    share = sum(fim.split(TEXT, 1, document_id, 0, rate) is not None for document_id in IDS) / len(
        IDS
    )
    assert abs(share - rate) <= 3.3 * (rate * (1 - rate) / len(IDS)) ** 0.5


def test_cuts_are_uniform_over_characters_and_reach_both_ends() -> None:
    cuts = [fim.split("abcdefghi", 7, document_id, 0, 1.0) for document_id in IDS]
    places = np.bincount(
        [p for c in cuts if c for p in (len(c.prefix), len(c.prefix) + len(c.middle))], minlength=10
    )
    assert len(places) == 10
    assert np.abs(places / places.sum() - 0.1).max() < 0.015


def test_an_empty_text_can_be_cut() -> None:
    assert fim.split("", 1, "doc", 0, 1.0) == ("", "", "")


def test_a_training_sample_is_in_spm_form_and_ends_its_text(tokenizer_json: str) -> None:
    [tokens] = Packer(tokenizer_json, 1.0, 1).encode([DocumentSample("doc", 0, "train", TEXT)])
    prefix, middle, suffix = fim.split(TEXT, 1, "doc", 0, 1.0) or pytest.fail("not cut")
    expected = f"<[fim-suffix]>{suffix}<[fim-prefix]>{prefix}<[fim-middle]>{middle}<|endoftext|>"
    assert decode(tokenizer_json, tokens) == expected


def test_the_bytes_are_those_that_tokenizers_gives_for_each_part(tokenizer_json: str) -> None:
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.encode_special_tokens = True
    ids = {name: tokenizer.token_to_id(name) for name in SPECIAL_TOKENS}
    text = TEXT + "<|endoftext|>\r\n\n  caf\u00e9 1234 'S"
    packer = Packer(tokenizer_json, 1.0, 1)
    assert packer.note == "tiktoken"
    for document_id in IDS[:50]:
        cut = fim.split(text, 1, document_id, 0, 1.0) or pytest.fail("not cut")
        prefix, middle, suffix = (
            tokenizer.encode(part, add_special_tokens=False).ids for part in cut
        )
        expected = [
            *(ids["<[fim-suffix]>"], *suffix, ids["<[fim-prefix]>"], *prefix),
            *(ids["<[fim-middle]>"], *middle, ids["<|endoftext|>"]),
        ]
        [tokens] = packer.encode([DocumentSample(document_id, 0, "train", text)])
        assert np.frombuffer(tokens, np.uint16).tolist() == expected


def test_validation_is_never_cut(tokenizer_json: str) -> None:
    [tokens] = Packer(tokenizer_json, 1.0, 1).encode([DocumentSample("doc", 0, "val", TEXT)])
    assert decode(tokenizer_json, tokens) == TEXT + "<|endoftext|>"


def test_a_batch_encodes_as_its_samples_do_alone(tokenizer_json: str) -> None:
    packer = Packer(tokenizer_json, 0.5, 1)
    samples = [
        DocumentSample(document_id, 0, "train", TEXT * (i % 3))
        for i, document_id in enumerate(IDS[:50])
    ]
    assert packer.encode(samples) == [packer.encode([sample])[0] for sample in samples]


def test_source_that_spells_special_tokens_gets_no_special_ids(tokenizer_json: str) -> None:
    tokenizer = Tokenizer.from_str(tokenizer_json)
    names = {name: tokenizer.token_to_id(name) for name in SPECIAL_TOKENS}
    text = " ".join(names)
    [tokens] = Packer(tokenizer_json, 0.0, 1).encode([DocumentSample("doc", 0, "train", text)])
    ids = np.frombuffer(tokens, np.uint16).tolist()
    assert ids[-1] == names["<|endoftext|>"]
    assert not set(ids[:-1]) & set(names.values())
    assert decode(tokenizer_json, tokens) == text + "<|endoftext|>"


def test_a_tokenizer_without_the_fim_tokens_is_named_at_once() -> None:
    stripped = bpe.train([TEXT], 300).replace("<[fim-middle]>", "<[other]>")
    with pytest.raises(KeyError, match="fim-middle"):
        Packer(stripped, 0.5, 1)


def test_shards_are_planned_by_three_bytes_a_token() -> None:
    assert [shard_count(size, 100) for size in (0, 300, 301, 3000)] == [1, 1, 2, 10]
