"""Held-out documents, the gaps cut into them, and what counts as filled."""

from __future__ import annotations

import hashlib
import math

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from conf.errors import SeedbedError
from rl.evaluation import heldout_code
from rl.evaluation.heldout_code import MIDDLE, PREFIX, SUFFIX, Document, Gap, Infilling
from seedbed.inference.engine import Sample
from tests.tiny_model import write_tokenizer

TEXT = "import os\n\n\ndef f(xs):\n    total = sum(xs)\n    return total\n"


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    root = tmp_path_factory.mktemp("tables")
    names = [f"d{i}" for i in range(6)]
    parts = [
        [{"path": "a.py", "content_sha256": hashlib.sha256(name.encode()).hexdigest()}]
        for name in names
    ]
    # A document of two files.
    parts[5] = parts[5] * 2
    splits = ["val"] * 4 + ["train", "val"]
    rows = {"document_id": names, "language": ["Python"] * 6, "parts": parts, "split": splits}
    write_deltalake(root / "documents", pa.table(rows))
    shas = [part[0]["content_sha256"] for part in parts]
    write_deltalake(
        root / "contents",
        pa.table({"content_sha256": shas, "text": [f"# {n}\n{TEXT}" for n in names]}),
    )
    found = {
        "benchmark": ["humaneval@1", "humaneval@1", "mbpp@2"],
        "item": ["HumanEval/3", None, "7"],
    }
    write_deltalake(root / "contamination", pa.table(found))
    return root


def test_only_whole_held_out_files_are_drawn_and_the_seed_decides_which(tables):
    every = heldout_code.documents(tables, 99, seed=1)
    assert sorted(d.document_id for d in every) == ["d0", "d1", "d2", "d3"]
    assert every[0].text == f"# {every[0].document_id}\n{TEXT}"
    assert heldout_code.documents(tables, 2, seed=1) == every[:2]
    assert {
        tuple(d.document_id for d in heldout_code.documents(tables, 2, seed)) for seed in range(9)
    } > {("d0", "d1")}


def test_items_that_overlap_are_read_by_benchmark(tables):
    assert heldout_code.overlapping_items(tables, "humaneval") == {"HumanEval/3"}
    assert heldout_code.overlapping_items(tables, "mbpp") == {"7"}
    with pytest.raises(SeedbedError, match="is not a Delta table"):
        heldout_code.overlapping_items(tables / "nowhere", "mbpp")
    with pytest.raises(
        SeedbedError, match="were not compared with evalplus, but with humaneval@1, mbpp@2"
    ):
        heldout_code.overlapping_items(tables, "evalplus")


@pytest.mark.parametrize("kind", ["line", "span"])
def test_a_gap_and_what_surrounds_it_are_the_document(kind):
    some = [Document(str(i), "Python", TEXT) for i in range(20)]
    found = list(heldout_code.gaps(some, kind, seed=1))
    assert all(gap.prefix + gap.middle + gap.suffix == TEXT for gap in found)
    assert found == list(heldout_code.gaps(some, kind, seed=1))
    assert len({gap.middle for gap in found}) > 2
    if kind == "line":
        assert {gap.middle for gap in found} <= {
            line for line in TEXT.splitlines() if line.strip()
        } - {"import os"}
    else:
        assert all(10 <= len(gap.middle) <= 60 for gap in found)


@pytest.fixture(scope="module")
def infilling(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fim")
    write_tokenizer(folder, more=[SUFFIX, PREFIX, MIDDLE])
    return Infilling(folder, max_length=40)


@pytest.fixture
def wide(infilling, monkeypatch):
    """The same with room for completions of 64 tokens."""
    monkeypatch.setattr(infilling, "_max_length", 140)
    return infilling


class Oracle:
    """Answers with given texts, and scores every token with probability one half."""

    def __init__(self, infilling, answers=()):
        self.infilling, self.answers, self.prompts = infilling, answers, []

    def generate(self, prompts, seeds, sampling):
        self.prompts = prompts
        return [Sample(self.infilling._ids(text), [], True, "") for text in self.answers]

    def score(self, sequences):
        assert all(len(ids) < 40 for ids in sequences)
        return [[-math.log(2)] * (len(ids) - 1) for ids in sequences]


def test_a_model_without_room_for_a_prompt_is_refused_instead_of_a_cut_to_nothing(infilling):
    with pytest.raises(SeedbedError, match="takes 40 tokens, and a completion has 64") as refused:
        infilling.items(Oracle(infilling, ["x"]), [Gap("d", "a", "b", "c")], "line")
    assert "131 tokens or more" in refused.value.fix


def test_a_line_matches_without_its_margins_and_a_span_to_the_character(wide):
    gap = Gap("d", "def f():\n", "    return 12345678", "\n")
    for kind, answer, verdict in (
        ("line", "  return 12345678 \nmore", "pass"),
        ("line", "", "fail"),
        ("line", "return 1", "fail"),
        ("span", "    return 12345678\nmore", "pass"),
        ("span", "  return 12345678", "fail"),
    ):
        [item] = wide.items(Oracle(wide, [answer]), [gap], kind)
        assert item["samples"][0]["verdict"] == verdict, (kind, answer)
        assert item["reference"] == gap.middle


def test_the_prompt_is_suffix_then_prefix_cut_to_what_is_nearest(infilling):
    marks = infilling._marks
    gap = Gap("d", "a" * 100 + "PRE", "middle", "SUF" + "b" * 100)
    prompt = infilling.prompt(gap, room=8)
    assert len(prompt) <= 40 - 8
    assert [prompt.index(mark) for mark in marks] == sorted(prompt.index(mark) for mark in marks)
    decode = infilling._tokenizer.decode
    assert decode(prompt[1 : prompt.index(marks[1])]).startswith("SUF")
    assert decode(prompt[prompt.index(marks[1]) + 1 : -1]).endswith("PRE")
    short = infilling.prompt(Gap("d", "xy", "m", "z"), room=8)
    assert short == [marks[0], *infilling._ids("z"), marks[1], *infilling._ids("xy"), marks[2]]
    assert infilling._ids(MIDDLE) != [marks[2]], "text that spells a special token stays text"


def test_bits_per_byte_of_a_coin_for_each_token(infilling):
    # Each character takes two bytes.
    document = Document("d", "Python", "é" * 30)
    found = infilling.bits_per_byte(Oracle(infilling), [document])
    ids = infilling._ids(document.text)
    assert found["bytes"] == 60 - sum(
        len(infilling._tokenizer.convert_ids_to_tokens(ids[i])) for i in range(0, len(ids), 39)
    )
    scored = len(ids) - math.ceil(len(ids) / 39)
    assert found["bits_per_byte"] == pytest.approx(scored / found["bytes"])
    assert found["by_language"].keys() == {"Python"}


def test_a_tokenizer_without_the_marks_is_refused(tokenizer_folder):
    with pytest.raises(SeedbedError, match=r"has no <\[fim-suffix\]>"):
        Infilling(tokenizer_folder, 40)
