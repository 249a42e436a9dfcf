"""The README is short, and everything that it points to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PACKAGES = ("conf", "seedbed", "spark_jobs", "megatron_train", "rl", "report", "demo")


def test_it_has_at_most_150_lines():
    assert len(README.splitlines()) <= 150


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_configs_in_commands_exist():
    for config in set(re.findall(r"--config (conf/\S+\.yaml)", README)):
        assert (ROOT / config).is_file(), config


def test_every_page_of_the_docs_is_linked_but_the_parts_of_the_site():
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)\)", README))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert linked == pages - {"index.md", "tables.md"}


def folders_of_the_map() -> list[str]:
    """Folders that the map names, with that of their package in front."""
    found, package = [], ""
    block = README.split("## The map")[1].split("```")[1]
    for line in block.strip().splitlines():
        words = [word for word in line.split() if re.fullmatch(r"[\w]+/", word)]
        if not line.startswith(" "):
            package = words[0]
        found += [f"{package}{word}" if line.startswith(" ") else word for word in words]
    return found


def test_folders_of_the_map_exist():
    named = folders_of_the_map()
    assert {f"{package}/" for package in PACKAGES} <= set(named)
    # `near_dup/ source_code/ tokens/ models/` are named in the line of the kernels
    inner = [
        f
        for f in named
        if (ROOT / f).is_dir() or (ROOT / "seedbed/kernels" / Path(f).name).is_dir()
    ]
    assert inner == named


@pytest.mark.parametrize("package", PACKAGES)
def test_the_map_names_every_folder_of_a_package(package):
    block = README.split("## The map")[1].split("```")[1]
    folders = [p for p in (ROOT / package).iterdir() if (p / "__init__.py").is_file()]
    for folder in folders:
        if package not in ("conf", "report"):
            assert f"{folder.name}/" in block, folder
