"""The scorer learns a label that the text shows, and writes what vLLM can load.

It is measured on repositories that it has not seen.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from deltalake import write_deltalake

from conf.errors import SeedbedError
from megatron_train import train_scorer
from megatron_train.scorer import head, labelled_texts
from tests.megatron_train import tiny
from tests.megatron_train.families import folders

GOOD = "def add(item):\n    return item\n"
BAD = "x9=1;y8=2;z7=3;w6=4\n"


@pytest.fixture(scope="module")
def labelled_run(token_folder, tmp_path_factory):
    """Tables of 60 labelled files in 6 repositories, and an untrained tiny model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    run = tmp_path_factory.mktemp("labelled")
    rows = []
    for i in range(60):
        good = i % 2 == 0
        text = "".join((GOOD if good else BAD) + f"# {i // 2} {j}\n" for j in range(1 + i // 2 % 3))
        rows.append(
            (
                hashlib.sha256(text.encode()).hexdigest(),
                text,
                8.0 if good else 2.0,
                f"repo{i // 2 % 6}",
            )
        )
    sha, texts, scores, repos = (list(column) for column in zip(*rows, strict=True))
    tables = run / "tables"
    write_deltalake(
        tables / "labels",
        pa.table({"content_sha256": sha, "oracle": ["seedbed-labels-v1"] * 60, "score": scores}),
    )
    languages = ["Python" if i % 3 else "C" for i in range(60)]
    write_deltalake(
        tables / "contents", pa.table({"content_sha256": sha, "text": texts, "language": languages})
    )
    write_deltalake(tables / "files", pa.table({"content_sha256": sha, "repo": repos}))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tiny.VOCAB,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        eos_token_id=0,
        bos_token_id=None,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(run / "hf")
    for file in (token_folder / "tokens" / "tokenizer").iterdir():
        shutil.copy(file, run / "hf")
    return run


def test_it_writes_a_scorer_that_separates_the_labels(labelled_run, capsys):
    from transformers import LlamaForSequenceClassification, PreTrainedTokenizerFast

    options = ["scorer.max_tokens=32", "scorer.epochs=10", "scorer.lr=0.005", "scorer.ridge=0.1"]
    assert train_scorer.main([f"output={labelled_run}", *options]) == 0
    folder = labelled_run / "scorers" / "language_model"
    card = json.loads((folder / "scorer.json").read_text())
    assert card["kind"] == "language_model"
    assert card["version"].startswith("language_model-")
    assert card["max_tokens"] == 32
    assert card["mae"] < 1.0 < card["mae_of_the_mean"]
    assert card["spearman"] > 0.8
    assert "held-out repositories" in capsys.readouterr().out

    model = LlamaForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    good, bad = (
        model(torch.tensor([tokenizer.encode(text, add_special_tokens=False)[:32]])).logits.item()
        for text in (GOOD + "# 7 0\n", BAD + "# 7 0\n")
    )
    assert good > bad + 0.3


def test_a_frozen_base_from_any_folder_gets_a_ridge_head_and_every_repository_is_held_out_once(
    labelled_run, tmp_path
):
    from transformers import LlamaForCausalLM, LlamaForSequenceClassification

    base = tmp_path / "base"
    shutil.copytree(labelled_run / "hf", base)
    # Some models list several ends of a text, and name no padding.
    config = json.loads((base / "config.json").read_text())
    config |= {"eos_token_id": [3, 0, 1], "pad_token_id": None}
    (base / "config.json").write_text(json.dumps(config))
    options = [
        f"scorer.base={base}",
        "scorer.name=frozen",
        "scorer.epochs=0",
        "scorer.max_tokens=32",
        "scorer.ridge=0.1",
    ]
    assert train_scorer.main([f"output={labelled_run}", *options]) == 0
    card = json.loads((labelled_run / "scorers/frozen/scorer.json").read_text())
    assert card["frozen"]
    assert card["measured"] == "60 files, 5 folds over 6 repositories"
    assert card["mae"] < 1.5 < card["mae_of_the_mean"]
    assert {name: m["files"] for name, m in card["by_language"].items()} == {"C": 20, "Python": 40}
    model = LlamaForSequenceClassification.from_pretrained(
        labelled_run / "scorers/frozen", dtype=torch.float32
    )
    untouched = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    for (name, mine), theirs in zip(
        model.model.named_parameters(), untouched.model.parameters(), strict=True
    ):
        assert torch.equal(mine, theirs), name


def test_folds_keep_repositories_whole_and_are_of_like_size():
    repos = [f"r{i % 7}" for i in range(70)]
    found = labelled_texts.folds(repos, seed=1)
    assert sorted(np.bincount(found)) == [10, 10, 10, 20, 20]
    assert all(
        len({f for f, r in zip(found, repos, strict=True) if r == repo}) == 1 for repo in set(repos)
    )


def test_the_errors_are_on_the_scale_of_labels_and_classes_weigh_the_same():
    truth, predicted = np.array([0.0, 0.0, 0.0, 0.55]), np.array([0.1, 0.1, 0.1, 0.5])
    places = [("a", "C"), ("a", "C"), ("b", "C"), ("b", "Go")]
    examples = [
        labelled_texts.LabelledText([1], label, *place)
        for label, place in zip(truth, places, strict=True)
    ]
    found = labelled_texts.errors(examples, predicted, np.full(4, 0.2))
    assert (found["mae"], found["cmae"], found["mae_of_the_mean"]) == (0.875, 1.0, 2.375)
    assert {name: (m["files"], m["mae"]) for name, m in found["by_language"].items()} == {
        "C": (3, 1.0),
        "Go": (1, 0.5),
    }
    # Of two draws of two repositories, one has the same repository twice.
    assert found["intervals"]["mae"] == [0.75, 1.0]


def test_a_base_that_is_no_llama_is_refused(tmp_path):
    folders.write(tmp_path, "qwen3")
    with pytest.raises(SeedbedError, match="is a qwen3 model"):
        train_scorer.main([f"output={tmp_path}", f"scorer.base={tmp_path}"])


def test_files_longer_than_the_model_reads_are_refused_before_anything_is_read(labelled_run):
    with pytest.raises(SeedbedError, match=r"scorer.max_tokens=257 is above the 256 positions"):
        train_scorer.main([f"output={labelled_run}", "scorer.max_tokens=257"])


@pytest.mark.parametrize(("ends", "padding"), [([5, 9], 5), (7, 7), (None, 0)])
def test_a_model_with_several_ends_is_padded_with_the_first(labelled_run, tmp_path, ends, padding):
    """Chat models have several, and none for padding."""
    shutil.copytree(labelled_run / "hf", tmp_path / "hf")
    path = tmp_path / "hf" / "config.json"
    config = json.loads(path.read_text()) | {"eos_token_id": ends, "pad_token_id": None}
    path.write_text(json.dumps(config))
    assert head.load_base(tmp_path / "hf").config.pad_token_id == padding


def test_padding_does_not_change_a_score(labelled_run):
    from transformers import LlamaForSequenceClassification

    model = LlamaForSequenceClassification.from_pretrained(
        labelled_run / "hf", num_labels=1, dtype=torch.float32
    ).eval()
    short, long = (
        labelled_texts.LabelledText(ids, 0.0, "", "C") for ids in ([5, 6, 7], list(range(2, 30)))
    )
    together = head.scores(model, [short, long])
    alone = torch.cat([head.scores(model, [one]) for one in (short, long)])
    torch.testing.assert_close(together, alone)
    transformers_own = model(torch.tensor([short.ids])).logits[0]
    torch.testing.assert_close(together[:1], transformers_own)


def test_whole_repositories_are_held_out():
    repos = ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    held = labelled_texts.held_out_repos(repos, 0.3, seed=1)
    assert len(held) == 1
    assert held == labelled_texts.held_out_repos(repos[::-1], 0.3, seed=1)


def test_no_labels_of_the_oracle_is_an_error_that_names_it(labelled_run):
    with pytest.raises(SeedbedError, match="no labels of oracle nobody"):
        train_scorer.main(
            [f"output={labelled_run}", "scorer.oracle=nobody", "scorer.max_tokens=32"]
        )


def test_no_model_is_an_error(tmp_path):
    with pytest.raises(SeedbedError, match="holds no model"):
        train_scorer.main([f"output={tmp_path}"])


@pytest.mark.slow
def test_vllm_gives_the_scores_of_transformers(labelled_run, tmp_path):
    from transformers import LlamaForSequenceClassification

    pytest.importorskip("vllm")
    train_scorer.main([f"output={labelled_run}", "scorer.max_tokens=32", "scorer.name=for_vllm"])
    folder = labelled_run / "scorers" / "for_vllm"
    ids = [[5, 6, 7], list(range(2, 30)), [40] * 11]
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    worker = str(Path(__file__).with_name("vllm_worker.py"))
    tiny.launch(1, worker, str(folder), str(tmp_path / "ids.json"), str(tmp_path / "out.json"))
    model = LlamaForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    ours = [model(torch.tensor([one])).logits.item() for one in ids]
    assert json.loads((tmp_path / "out.json").read_text()) == pytest.approx(ours, abs=1e-4)
