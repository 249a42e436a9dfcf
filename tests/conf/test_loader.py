"""The loader accepts what the schemas declare, and refuses all else with value, rule and fix."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError, run_cli
from conf.loader import config_hash, load, to_yaml
from conf.schema.curate import CurateConfig


def refusal(path=None, overrides=()):
    with pytest.raises(SeedbedError) as caught:
        load(CurateConfig, path, overrides)
    return caught.value


def test_command_line_wins_over_file_and_file_over_default(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("shards: 16\nnear:\n  threshold: 0.8\n")
    cfg = load(CurateConfig, file, ["near.threshold=0.9"])
    assert (cfg.shards, cfg.near.threshold, cfg.near.num_perm) == (16, 0.9, 256)


def test_nested_nodes_come_back_as_frozen_dataclasses():
    cfg = load(CurateConfig)
    with pytest.raises(AttributeError):
        cfg.near.threshold = 0.1


def test_unknown_key_in_a_file_names_the_nearest_key_and_the_file(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("near:\n  treshold: 0.8\n")
    error = refusal(file)
    assert "near.treshold" in error.problem
    assert str(file) in error.problem
    assert "near.threshold" in error.fix


def test_unknown_key_on_the_command_line_is_refused_with_its_text():
    assert "command line: shard=8" in refusal(overrides=["shard=8"]).problem


def test_wrong_type_names_the_value():
    assert "many" in refusal(overrides=["shards=many"]).problem


def test_a_word_without_equals_is_refused():
    assert "not key=value" in refusal(overrides=["shards"]).problem


def test_missing_file_and_broken_yaml_are_named(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.yaml").problem
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1\n")
    assert "not valid YAML" in refusal(broken).problem
    scalar = tmp_path / "scalar.yaml"
    scalar.write_text("- 1\n- 2\n")
    assert "a config is a mapping" in refusal(scalar).problem


def test_bands_rule_shows_its_arithmetic():
    error = refusal(overrides=["near.bands=26"])
    assert "26*10=260, num_perm=256" in error.problem


ASKED = ("labels.oracle=o", "labels.model=m", "labels.source=endpoint")


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["shards=3"], "shards=3 is not a power of two"),
        (["shards=131072"], "shards=131072 is not a power of two"),
        (["near.threshold=0"], "near.threshold=0.0 is not in (0, 1]"),
        (["near.repo_threshold=1.1"], "near.repo_threshold=1.1 is not in (0, 1]"),
        (["select.drop_lowest=1.5"], "select.drop_lowest=1.5 is not a share"),
        (["select.min_quality_of.Go=-1"], "select.min_quality_of.Go=-1.0 is not a share"),
        (["select.val_fraction=2"], "select.val_fraction=2.0 is not a share"),
        (["select.dedup=repo"], "select.dedup='repo' is unknown"),
        (["select.cut_per=file"], "select.cut_per='file' is unknown"),
        (["tokens.fim_rate=7"], "tokens.fim_rate=7.0 is not a share"),
        (["verify.isolation=none"], "verify.isolation='none' is unknown"),
        (["score.scope=some"], "score.scope='some' is unknown"),
        (["score.windows=0"], "score.windows=0 must be at least 1"),
        (["recall.threshold=90"], "recall.threshold=90.0 is not a share"),
        (["labels.source=web"], "labels.source='web' is unknown"),
        (["labels.source=vllm"], "is the name of the label file"),
        (["labels.oracle=o", "labels.source=endpoint"], "labels.source=endpoint has no model"),
        (ASKED, "labels.endpoint.url='' is no address"),
        (
            [*ASKED, "labels.endpoint.url=http://h/v1", "labels.endpoint.concurrency=0"],
            "labels.endpoint.concurrency=0 must be at least 1",
        ),
        (
            [*ASKED, "labels.endpoint.url=http://h/v1", "labels.commit_every=0"],
            "labels.commit_every=0 must be at least 1",
        ),
    ],
)
def test_each_rule_refuses_and_names_the_value(overrides, problem):
    assert problem in refusal(overrides=overrides).problem


def test_limits_of_the_rules_are_allowed():
    allowed = ["shards=65536", "near.threshold=1", "select.drop_lowest=1", "select.val_fraction=0"]
    assert load(CurateConfig, None, [*allowed, "tokens.fim_rate=1"]).shards == 65536


def test_hash_changes_with_a_value_and_not_with_key_order():
    assert config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
    assert config_hash({"a": 1}) != config_hash({"a": 2})


def test_resolved_yaml_loads_back_to_the_same_config(tmp_path):
    cfg = load(CurateConfig, None, ["near.seed=7", "select.licenses_denied=[GPL-3.0-only]"])
    file = tmp_path / "resolved.yaml"
    file.write_text(to_yaml(cfg))
    assert load(CurateConfig, file) == cfg


def test_entry_points_print_the_fix_and_no_traceback(capsys):
    def main(argv):
        raise SeedbedError("shards=3 is odd", "use 4")

    with pytest.raises(SystemExit) as caught:
        run_cli(main, [])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: shards=3 is odd\n  fix: use 4\n"


@pytest.mark.parametrize(
    "text",
    ["/in/é%20 #x", "a b", "null", "no", "1e3", "[x]", "{a: b}", "a: b", "", " x ", "~", "&a", "*"],
)
def test_a_text_of_the_command_line_is_taken_as_it_stands(text):
    found = load(CurateConfig, None, [f"input={text}", f"tokens.tokenizer={text}"])
    assert (found.input, found.tokens.tokenizer) == (text, text)


def test_quotes_around_a_text_are_those_of_yaml():
    assert load(CurateConfig, None, ["input='a #b'"]).input == "a #b"
