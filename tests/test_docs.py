"""The docs name only what exists, their figures are current, and the site builds strictly."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from seedbed.cli import OWN
from seedbed.commands import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# The page of the tables is made from the catalogue, whose own test keeps it current.
WRITTEN = [page for page in PAGES if page.name != "tables.md"]
# The log tells of files as they were named on its dates.
PRESENT = [page for page in WRITTEN if page.name != "log.md"]
IGNORED = {".venv", ".git", "runs", "downloads", "build", "__pycache__"}


def files_of_the_project() -> Iterator[str]:
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [name for name in inner if name not in IGNORED]
        yield from (str(Path(folder, name).relative_to(ROOT)) for name in names)


TRACKED = set(files_of_the_project())
NAMES = {Path(path).name for path in TRACKED}
FOLDERS = {str(parent) for path in TRACKED for parent in Path(path).parents}
SUFFIXES = r"(?:py|yaml|sh|md|ipynb|properties)"
ours = pytest.mark.parametrize("page", PRESENT, ids=lambda p: str(p.relative_to(ROOT)))


@ours
def test_files_that_a_page_names_exist(page):
    for path in re.findall(
        rf"(?<![\w/.*<-])((?:[\w.-]+/)*[\w.-]+\.{SUFFIXES})\b", page.read_text()
    ):
        if path.split("/")[0] in FOLDERS:
            assert path in TRACKED, path
        elif "/" not in path:
            assert path in NAMES | USERS_OWN, path


# Names of files that a reader brings or a run writes.
USERS_OWN = {"config.yaml", "my_plan.yaml", "report.py", "demo.py", "unittest.py", "conftest.py"}


@ours
def test_folders_that_a_page_names_exist(page):
    packages = "conf|seedbed|spark_jobs|megatron_train|rl|report|tests|benchmarks|scripts|launch"
    for path in re.findall(rf"`((?:{packages})/[\w/]*)`", page.read_text()):
        assert path.rstrip("/") in FOLDERS, path


@ours
def test_modules_and_commands_that_a_page_names_exist(page):
    text = page.read_text()
    packages = "conf|seedbed|spark_jobs|megatron_train|rl|report|demo|benchmarks"
    for module in re.findall(rf"-m ((?:{packages})(?:\.\w+)*)(?![\w/])", text):
        base = ROOT / module.replace(".", "/")
        assert base.with_suffix(".py").is_file() or (base / "__main__.py").is_file(), module
    for command in re.findall(r"^(?:\.venv/bin/)?seedbed ([a-z][\w-]*)", text, re.M):
        assert command in {*COMMANDS, *OWN}, command
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make ([a-z][\w-]*)", text, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


# Walks of the architecture page, such as `rl` > `rollouts` > `rewards`.
WALKS = sorted(
    {
        "/".join(re.findall(r"`(\w+)`", walk))
        for walk in re.findall(
            r"`\w+`(?:\s+>\s+`\w+`)+", (ROOT / "docs/architecture.md").read_text()
        )
    }
)


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_of_the_architecture_page_ends_at_a_folder_or_a_module(walk):
    assert walk in FOLDERS or f"{walk}.py" in TRACKED


def test_the_architecture_page_has_five_walks():
    assert len(WALKS) >= 5


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: str(p.relative_to(ROOT)))
def test_prose_is_at_most_100_columns(page):
    for number, line in enumerate(page.read_text().splitlines(), 1):
        assert len(line) <= 100 or line.lstrip().startswith(("|", "[")), f"{page}:{number}"


def test_pages_that_the_sources_name_exist():
    for path in TRACKED:
        if path.endswith((".py", ".yaml", ".sh", ".toml")) and path != "tests/test_docs.py":
            for page in re.findall(r"docs/[\w-]+\.md", (ROOT / path).read_text()):
                assert (ROOT / page).is_file(), f"{path}: {page}"


def test_the_page_of_settings_has_every_field_with_the_comment_above_it():
    script = runpy.run_path(str(ROOT / "scripts/settings_page.py"))
    page = "\n".join(script["tables"]())
    for path in (ROOT / "conf/schema").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        module = importlib.import_module(name.removesuffix(".__init__"))
        for name, schema in vars(module).items():
            if dataclasses.is_dataclass(schema) and schema.__module__ == module.__name__:
                section = page.split(f"### {name}\n")[1].split("### ")[0]
                own = schema.__annotations__
                assert re.findall(r"^\| `(\w+)` \|", section, re.M) == list(own), name
    source = "a: int = 1\n# two lines\n# of <comment>\nb: int = 2\n"
    assert script["comment_above"](source, 4) == "two lines of &lt;comment&gt;"
    assert script["comment_above"](source, 1) == ""
    assert "field(" not in page


def test_figures_are_what_the_code_draws():
    subprocess.run([sys.executable, "scripts/draw_figures.py", "--check"], cwd=ROOT, check=True)


def test_the_timeline_of_a_step_shows_the_median_of_each_part():
    draw = runpy.run_path(str(ROOT / "scripts/draw_figures.py"))["grpo_step"]
    parts = [{"rollout": 2.0, "reward": 0.5, "train": 1.0, "sync": s} for s in (0.1, 0.5, 9.0)]
    picture = draw([{"seconds": part} for part in parts])
    assert "One GRPO step: 4.00 s (median of 3 steps)" in picture
    # The bar is 820 pixels wide.
    assert re.findall(r"width='(\d+)' height='40'", picture) == ["410", "102", "205", "102"]
    with pytest.raises(SeedbedError, match="no seconds by part"):
        draw([])


def test_the_site_builds_strictly(tmp_path):
    """Dead links, dead anchors and pages outside the navigation are errors."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    subprocess.run([*command, "--site-dir", str(tmp_path / "site")], cwd=ROOT, check=True)
    page = (tmp_path / "site" / "index.html").read_text()
    assert not re.search(r"<(?:script|link)[^>]+(?:src|href)=\"https?://", page)
