"""verify_layout passes what is right and finds the faults that train wrong in silence."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.experts import ExpertsConfig
from conf.schema.pretrain import ModelConfig, ParallelConfig, PretrainConfig, check_world
from megatron_train import verify_layout
from tests.megatron_train import tiny

FAULTY = (str(Path(__file__).with_name("faulty_worker.py")),)


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        ("seed_coder_8b", ["parallel.tp=8", "parallel.pp=4", "parallel.vpp=2", "parallel.cp=2"]),
        ("demo", ["parallel.cp=2"]),
        ("demo", ["parallel.tp=1", "parallel.pp=1", "model.tie_embeddings=true"]),
        ("seed_coder_8b", ["parallel.pp=4", "parallel.vpp=1", "parallel.first_layers=5"]),
        ("seed_coder_8b", ["parallel.tp=16", "parallel.pp=4", "parallel.vpp=1"]),
    ],
)
def test_the_shrunk_config_fits_its_layout_and_keeps_the_model_s_kind(config, sizes):
    cfg = load(PretrainConfig, f"conf/pretrain/{config}.yaml", sizes)
    small = verify_layout.shrink(cfg, dp=2)
    small.check()
    p = cfg.parallel
    assert check_world(small.parallel, small.batch, p.tp * p.pp * p.cp * 2) == 2
    uneven = {
        "first_layers": small.parallel.first_layers,
        "last_layers": small.parallel.last_layers,
    }
    assert replace(p, **uneven) == small.parallel
    assert small.model.parameters(300) < 1e7
    for field in ("rope_base", "norm_eps", "tie_embeddings"):
        assert getattr(small.model, field) == getattr(cfg.model, field)
    assert (small.model.heads > small.model.kv_heads) == (cfg.model.heads > cfg.model.kv_heads)


@pytest.mark.parametrize(
    ("layout", "first", "last", "layers"),
    [
        # Stages of 4, 9, 9 and 10 layers, 8 and 24, and 12, 10 and 10.
        ({"pp": 4, "first_layers": 4, "last_layers": 10}, 1, 3, 8),
        ({"pp": 2, "first_layers": 8}, 1, 0, 3),
        ({"pp": 3, "first_layers": 12}, 3, 0, 7),
    ],
)
def test_shrunk_stages_are_as_uneven_as_they_were(layout, first, last, layers):
    cfg = PretrainConfig(model=ModelConfig(layers=32), parallel=ParallelConfig(**layout))
    shrunk = verify_layout.shrink(cfg, dp=1)
    shrunk.check()
    assert (shrunk.parallel.first_layers, shrunk.parallel.last_layers) == (first, last)
    assert shrunk.model.layers == layers


def test_a_layout_that_the_config_s_own_model_cannot_take_is_refused():
    with pytest.raises(
        SeedbedError,
        match=r"does not take this layout: model.heads must divide by parallel.tp: 6 % 4 = 2",
    ):
        verify_layout.main(["--tp", "4"])


def test_the_table_names_the_worst_value_and_where_it_is(tmp_path):
    for name, second in (("alone", 2.0), ("layout", 2.5)):
        (tmp_path / name).mkdir()
        seen = {"loss": [1.0, second], "grad_norm": [1.0, 1.0], "random": {"fork": True}}
        (tmp_path / name / "seen.json").write_text(json.dumps(seen))
        gradients = {
            "decoder.layers.1.mlp.linear_fc2.weight": torch.tensor([1.0, second]),
            "output_layer.weight": torch.ones(3),
        }
        save_file(gradients, tmp_path / name / "gradient-step2.safetensors")
    save_file(
        {"output_layer.weight": torch.tensor([float("nan")])},
        tmp_path / "layout" / "weight-step2.safetensors",
    )
    save_file(
        {"output_layer.weight": torch.ones(1)}, tmp_path / "alone" / "weight-step2.safetensors"
    )
    rows = verify_layout.compare(tmp_path / "alone", tmp_path / "layout")
    assert [(row.what, row.agrees) for row in rows] == [
        ("loss", False),
        ("grad_norm", True),
        ("gradient mlp.linear_fc2", False),
        ("gradient output_layer", True),
        ("weight output_layer", False),
        ("random numbers fork", True),
    ]
    assert rows[2].difference == 0.25
    assert rows[2].where == "step 2, decoder.layers.1.mlp.linear_fc2.weight"
    assert math.isnan(rows[4].difference)
    assert "DIFFERS  step 2" in verify_layout.table(rows)


def small(**layout) -> PretrainConfig:
    cfg = PretrainConfig(
        model=ModelConfig(tie_embeddings=layout.pop("tie", False)),
        parallel=ParallelConfig(**layout),
    )
    return verify_layout.shrink(cfg, dp=1)


@pytest.mark.slow
def test_the_command_passes_a_sound_layout(capsys):
    code = verify_layout.main(
        ["--config", "conf/pretrain/demo.yaml", "--tp", "2", "--pp", "2", "--cp", "2"]
    )
    said = capsys.readouterr().out
    assert code == 0, said
    assert "tp 2 x pp 2 x cp 2 x dp 1: 8 processes against 1" in said
    assert "rows agree" in said


FORMS = [
    ("qwen2", {}),
    ("qwen3", {"head_dim": 40}),
    ("mistral", {"layer_pattern": "w", "window": 100}),
    ("smollm3", {"layer_pattern": "fn"}),
    ("starcoder2", {"tie_embeddings": True}),
    ("olmo2", {}),
    ("olmo3", {"layer_pattern": "wf", "window": 100}),
    ("mixtral", {"experts": ExpertsConfig(number=8)}),
    ("qwen3_moe", {"head_dim": 40, "experts": ExpertsConfig(number=8, normalize=False)}),
]


@pytest.mark.parametrize(("family", "settings"), FORMS)
def test_the_shrunk_model_keeps_the_form_of_its_family(family, settings):
    cfg = PretrainConfig(
        model=ModelConfig(family=family, **settings),
        parallel=ParallelConfig(tp=2, pp=2, sequence_parallel=True),
    )
    model = verify_layout.shrink(cfg, dp=1).model
    model.check()
    cfg.parallel.check(model)
    assert model.family == family
    assert (model.head_size == model.hidden // model.heads) != ("head_dim" in settings)
    assert model.layer_pattern == settings.get("layer_pattern", "f")
    # The window is shorter than the sequences, so that it matters.
    assert (0 < model.window < model.seq_length) == ("window" in settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "settings"),
    [
        # Of the forms of attention one is enough for each run; norms behind layers are another.
        form if form[0] in ("qwen3", "olmo2") else pytest.param(*form, marks=pytest.mark.nightly)
        for form in FORMS
    ],
)
def test_every_family_has_the_gradients_of_one_process(family, settings):
    layout = ParallelConfig(tp=2, pp=2, sequence_parallel=family != "qwen3")
    cfg = PretrainConfig(model=ModelConfig(family=family, **settings), parallel=layout)
    rows = verify_layout.verify(verify_layout.shrink(cfg, dp=1), 1)
    assert not [row for row in rows if not row.agrees]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "dp"),
    [
        ({"ep": 2, "distributed_optimizer": True}, 2),
        ({"ep": 2, "tp": 2, "sequence_parallel": True}, 1),
        ({"ep": 2, "cp": 2, "pp": 2}, 1),
    ],
    ids=str,
)
def test_experts_have_the_gradients_of_one_process_and_so_has_their_balance(layout, dp):
    model = ModelConfig(family="mixtral", experts=ExpertsConfig(number=8))
    cfg = verify_layout.shrink(PretrainConfig(model=model, parallel=ParallelConfig(**layout)), dp)
    rows = verify_layout.verify(cfg, dp)
    assert not [row for row in rows if not row.agrees]
    assert {"gradient mlp.router", "gradient mlp.experts.linear_fc1"} <= {row.what for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "layout", "dp", "rows"),
    [
        ("batched_sends", {"pp": 2, "vpp": 2}, 1, "gradient"),
        ("no_forks", {"tp": 2}, 1, "random numbers"),
        ("shared_adam_step", {"distributed_optimizer": True}, 2, "gradient"),
        ("mean_of_means", {"cp": 2}, 1, "loss"),
        ("keys_of_another_order", {"cp": 2}, 1, "gradient"),
    ],
)
def test_a_fault_that_trains_wrong_in_silence_is_caught(monkeypatch, fault, layout, dp, rows):
    monkeypatch.setenv("SEEDBED_TEST_FAULT", fault)
    monkeypatch.setenv("PYTHONPATH", str(tiny.ROOT))
    cfg = small(**layout)
    cfg = replace(cfg, batch=replace(cfg.batch, total=cfg.batch.total * dp))
    wrong = [row.what for row in verify_layout.verify(cfg, dp, FAULTY) if not row.agrees]
    assert any(what.startswith(rows) for what in wrong), wrong
