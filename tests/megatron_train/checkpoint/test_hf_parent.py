"""parent=FOLDER: a run goes on with a model of transformers, and its children with the run's."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train.checkpoint.hf_parent import vocabulary
from megatron_train.checkpoint.step_folders import latest, read_manifest
from megatron_train.data.manifest import read_manifest as read_tokens
from tests.megatron_train import tiny
from tests.megatron_train.families import folders

# More rows than the tokenizer has tokens, as many published models have.
ROWS = tiny.VOCAB + 9
MODEL = ModelConfig(
    family="qwen2", layers=4, hidden=60, ffn=88, heads=6, kv_heads=2, seq_length=32,
    rope_base=10_000, norm_eps=3e-4, tie_embeddings=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def parent(token_folder, tmp_path_factory):
    folder = folders.write(tmp_path_factory.mktemp("parent") / "hf", "qwen2", vocab_size=ROWS)
    shutil.copytree(token_folder / "tokens" / "tokenizer", folder, dirs_exist_ok=True)
    return folder


@pytest.fixture
def cfg(parent, tmp_path):
    return PretrainConfig(model=MODEL, parent=str(parent), output=str(tmp_path / "run"))


def test_the_rows_are_the_folders_and_longer_sequences_may_follow(cfg, token_folder):
    tokens = read_tokens(token_folder / "tokens")
    assert vocabulary(cfg, tokens) == ROWS
    longer = dataclasses.replace(cfg.model, rope_base=7e5, seq_length=64)
    assert vocabulary(dataclasses.replace(cfg, model=longer), tokens) == ROWS
    assert vocabulary(dataclasses.replace(cfg, parent=""), tokens) == tokens.vocab_size


def test_another_model_is_refused_with_the_settings_to_type(cfg, token_folder):
    other = dataclasses.replace(cfg.model, family="llama", ffn=96)
    with pytest.raises(SeedbedError) as refused:
        vocabulary(dataclasses.replace(cfg, model=other), read_tokens(token_folder / "tokens"))
    assert "ffn is 88 there and 96 here" in refused.value.problem
    assert refused.value.fix == "set model.family=qwen2 model.ffn=88"


def test_tokens_of_another_tokenizer_are_refused(cfg, tmp_path):
    tiny.write_tokens(tmp_path / "other", tiny.documents(40, seed=9), tiny.documents(4))
    with pytest.raises(SeedbedError, match="was packed by another tokenizer"):
        vocabulary(cfg, read_tokens(tmp_path / "other"))


@pytest.mark.slow
def test_a_run_begins_with_the_folder_and_its_child_with_the_run(parent, token_folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(token_folder / "tokens", run / "tokens")
    settings = [
        f"model.{field.name}={str(getattr(MODEL, field.name)).lower()}"
        for field in dataclasses.fields(MODEL)
        if isinstance(getattr(MODEL, field.name), int | float | str)
    ]
    settings += [
        "batch.total=4", "batch.micro=2", "schedule.steps=2", "schedule.warmup_steps=0",
        "schedule.decay_steps=0", "samples=false", "eval_every=0", "optim.lr=1e-9",
        "optim.min_lr=0",
    ]  # fmt: skip
    command = ["-m", "megatron_train.pretrain", *settings]
    said = tiny.launch(1, *command, f"output={run}", f"parent={parent}", timeout=900)
    assert "differ from transformers' by" in said
    ends = latest(run / "pretrain" / "checkpoints")
    assert read_manifest(ends)["architecture"]["vocab_size"] == ROWS
    # It goes on, and so does a run whose parent is its checkpoint, with scaled positions.
    more = [*command, "schedule.steps=3", f"output={run}", f"parent={parent}"]
    assert "resumed at step 2" in tiny.launch(1, *more, timeout=900)
    child = tmp_path / "child"
    shutil.copytree(token_folder / "tokens", child / "tokens")
    scaled = [
        "model.rope.scaling=yarn", "model.rope.factor=2", "model.rope.original_length=32",
        "model.seq_length=64",
    ]  # fmt: skip
    for begins in (ends, parent):
        more = [*command, *scaled, f"output={child}", f"parent={begins}"]
        said = tiny.launch(1, *more, timeout=900)
        # The comparison is made at the positions that the folder was trained with.
        assert ("differ from transformers' by" in said) == (begins == parent)
        config = (child / "hf" / "config.json").read_text()
        assert '"rope_type": "yarn"' in config
        assert f'"vocab_size": {ROWS}' in config
        shutil.rmtree(child / "pretrain")
