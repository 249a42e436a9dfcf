"""Names of special tokens: told ones, ours, the end that a tokenizer names, or an error."""

from __future__ import annotations

import json

import pytest

from conf.errors import SeedbedError
from seedbed.kernels.tokens import bpe
from seedbed.kernels.tokens.packing import OURS, SPECIAL_TOKENS, SpecialNames
from seedbed.special_names import Wording, describe, special_names
from tests.seedbed.kernels.tokens.made_tokenizers import foreign

WORDING = Wording("F", "--special {role}=TOKEN", "--fim-rate 0")
TOKENIZER = foreign(["</s>", "<PRE>", "<SUF>", "<MID>"])
CONFIG = json.dumps({"eos_token": {"content": "</s>"}})
MARKS = {"fim_prefix": "<PRE>", "fim_suffix": "<SUF>", "fim_middle": "<MID>"}


def test_a_foreign_tokenizer_is_told_by_its_eos_token_and_a_map(capsys) -> None:
    assert special_names(TOKENIZER, CONFIG, {}, 0.0, WORDING) == SpecialNames(
        "</s>", "", "", "", ""
    )
    assert "documents end with </s>, the eos_token in tokenizer_config.json of F" in (
        capsys.readouterr().out
    )
    names = special_names(TOKENIZER, CONFIG, MARKS, 0.5, WORDING)
    assert names == SpecialNames("</s>", "", "<SUF>", "<PRE>", "<MID>")
    # What is told comes before what the tokenizer says.
    assert special_names(TOKENIZER, CONFIG, {"end": "<MID>"}, 0.0, WORDING).end == "<MID>"


def test_ours_needs_no_map(capsys) -> None:
    ours = bpe.train(["def f(x):\n"], 290)
    assert special_names(ours, None, dict.fromkeys(MARKS, ""), 0.5, WORDING) == OURS
    assert capsys.readouterr().out == ""


def test_a_token_that_is_needed_and_not_named_is_refused_with_what_to_type() -> None:
    with pytest.raises(SeedbedError, match="no token of ours for: fim_suffix") as refused:
        special_names(TOKENIZER, CONFIG, {"fim_prefix": "<PRE>"}, 0.5, WORDING)
    assert "--special fim_suffix=TOKEN --special fim_middle=TOKEN, or set --fim-rate 0" in (
        refused.value.fix
    )
    assert "</s> <MID> <PRE> <SUF>" in refused.value.fix
    for config in (None, "{}", '{"eos_token": null}', '{"eos_token": "<none>"}'):
        with pytest.raises(SeedbedError, match="no token of ours for: end"):
            special_names(foreign(["<x>"]), config, {}, 0.0, WORDING)


def test_a_name_that_the_tokenizer_lacks_and_files_that_are_none_are_one_line_each() -> None:
    with pytest.raises(SeedbedError, match="the tokenizer of F has no <none>"):
        special_names(TOKENIZER, CONFIG, {"end": "<none>"}, 0.0, WORDING)
    with pytest.raises(SeedbedError, match=r"tokenizer.json of F cannot be read"):
        special_names("{", CONFIG, {}, 0.0, WORDING)
    with pytest.raises(SeedbedError, match=r"tokenizer_config.json of F is not valid JSON"):
        special_names(TOKENIZER, "{", {}, 0.0, WORDING)


def test_a_manifest_names_all_of_ours_and_pads_with_the_end_where_nothing_pads() -> None:
    found = describe(bpe.train(["def f(x):\n"], 290), OURS)
    assert found["special_tokens"] == {name: i for i, name in enumerate(SPECIAL_TOKENS)}
    assert (found["eod"], found["pad"], found["vocab_size"]) == (0, 1, 270)
    found = describe(TOKENIZER, SpecialNames("</s>", "", "", "<PRE>", ""))
    assert found["special_tokens"] == {"</s>": 256, "<PRE>": 257}
    assert found["eod"] == found["pad"] == 256
