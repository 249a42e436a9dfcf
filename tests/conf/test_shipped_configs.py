"""Every YAML that ships loads into its schema, and holds only what differs from the defaults."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from conf.loader import load, to_dict
from conf.schema import ask, rl

ROOT = Path(__file__).parents[2] / "conf"
SCHEMAS = {
    "curate": "CurateConfig",
    "pretrain": "PretrainConfig",
    "stages": "StagesConfig",
    "demo": "DemoConfig",
}


# Of a YAML under conf/rl, by a part of its file name.
RL_SCHEMAS = {
    "distill": ask.DistillConfig,
    "dpo": rl.DpoConfig,
    "grpo": rl.GrpoConfig,
    "sft": rl.SftConfig,
    "synthesis": ask.SynthesisConfig,
}


def schema_of(path: Path) -> type:
    if path.parent.name == "rl":
        return next(schema for part, schema in RL_SCHEMAS.items() if part in path.stem)
    return getattr(import_module(f"conf.schema.{path.parent.name}"), SCHEMAS[path.parent.name])


SHIPPED = sorted(p for p in ROOT.glob("*/*.yaml") if not p.stem.startswith("expected"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_shipped_config_loads_and_holds_only_deltas(path):
    schema = schema_of(path)
    cfg = to_dict(load(schema, path))
    defaults = to_dict(schema())

    def walk(delta, default, prefix=""):
        for key, value in delta.items():
            if isinstance(value, dict) and isinstance(default.get(key), dict) and default[key]:
                walk(value, default[key], f"{prefix}{key}.")
            else:
                assert value != default[key], f"{path.name}: {prefix}{key} repeats the default"

    walk(OmegaConf.to_container(OmegaConf.load(path)), defaults)
    assert cfg


def test_every_program_ships_a_config():
    assert {p.parent.name for p in SHIPPED} >= {"curate", "pretrain", "stages", "rl", "demo"}
