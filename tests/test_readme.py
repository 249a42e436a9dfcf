"""The README names every source file and only commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SOURCES = [
    p
    for name in ("spark_jobs", "megatron_train", "rl", "report", "demo")
    for p in (ROOT / name).rglob("*.py")
]


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if p.name != "__init__.py"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_the_tree_has_a_line_for_every_source_file(path):
    assert re.search(rf"^ +{re.escape(path.name)} +\S", README, re.M)


def test_modules_and_configs_in_commands_exist():
    for module in set(re.findall(r"-m ((?:spark_jobs|megatron_train|rl|report)[\w.]*)", README)):
        base = ROOT / module.replace(".", "/")
        assert base.with_suffix(".py").is_file() or (base / "__main__.py").is_file(), module
    for config in set(re.findall(r"--config (conf/\S+\.yaml)", README)):
        assert (ROOT / config).is_file(), config
    for target in set(re.findall(r"^make (\w+)|`make (\w[\w-]*)", README, re.M)):
        name = target[0] or target[1]
        assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.M), name
