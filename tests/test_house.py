"""The rules of the house that a machine can hold: import directions, names, and clean extras."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("conf", "spark_jobs", "megatron_train", "rl", "report", "demo")
SOURCES = sorted(p for name in PACKAGES for p in (ROOT / name).rglob("*.py"))

# Parts of spark_jobs without Spark in them, which rl.synthesize shares: how a model is asked, how text is parsed and compared.
SPARKLESS = {
    "spark_jobs.kernels",
    *(f"spark_jobs.oracle.{name}" for name in ("endpoint", "journal", "prompt", "weights")),
    "spark_jobs.benchmark_items",
}

# package -> (packages of this project it may import, third-party roots it must never import)
ALLOWED = {
    "conf": (set(), {"pyspark", "torch", "numpy", "megatron", "vllm"}),
    "spark_jobs": ({"conf"}, {"torch", "megatron", "transformers"}),
    "megatron_train": ({"conf", "spark_jobs.kernels.agreement"}, {"pyspark", "delta", "vllm"}),
    "rl": ({"conf", "megatron_train", *SPARKLESS}, {"pyspark", "delta"}),
    "report": ({"conf", "spark_jobs.inspect_tables", "spark_jobs.delta_reader"}, {"pyspark", "delta", "torch", "vllm"}),
    "demo": ({"conf", "spark_jobs.inspect_tables", "spark_jobs.delta_reader"}, {"pyspark", "delta", "torch", "vllm"}),
}


# Files that may import more than their package: the reason stands in their docstring.
MORE = {"spark_jobs/verify_solutions.py": {"rl.sandbox"}}


def imports(path: Path) -> set[str]:
    """Dotted names of every module that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:  # the jail's own package is loaded without this project on its path
                assert path.is_relative_to(ROOT / "rl/sandbox/inside"), f"{path}: relative import"
                continue
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    package = path.relative_to(ROOT).parts[0]
    allowed, forbidden = ALLOWED[package]
    allowed = allowed | MORE.get(str(path.relative_to(ROOT)), set())
    for name in imports(path):
        root = name.split(".")[0]
        assert root not in forbidden, f"{package} must not import {root}"
        if root in PACKAGES and root != package:
            assert any(name == a or name.startswith(f"{a}.") or a.startswith(f"{name}.") for a in allowed), (
                f"imports {name}"
            )


@pytest.mark.parametrize("path", sorted((ROOT / "rl/sandbox").rglob("*.py")), ids=lambda p: p.name)
def test_the_sandbox_needs_no_part_of_training(path):
    """Spark executors and bare hosts run it too."""
    for name in imports(path):
        root = name.split(".")[0]
        assert root in sys.stdlib_module_names | {"conf", "tqdm"} or name.startswith("rl.sandbox") or name == "rl"


@pytest.mark.parametrize("path", sorted((ROOT / "spark_jobs/kernels").glob("*.py")), ids=lambda p: p.name)
def test_kernels_know_nothing_of_spark_tables_or_config(path):
    for name in imports(path):
        assert name.split(".")[0] not in {"pyspark", "delta", "deltalake", "conf"}
        if name.startswith("spark_jobs."):
            assert name.startswith("spark_jobs.kernels")


def job_files() -> list[Path]:
    return [p for p in sorted((ROOT / "spark_jobs").glob("*.py")) if re.search(r"^JOB\b", p.read_text(), re.M)]


def test_the_graph_names_every_job_file():
    graph = (ROOT / "spark_jobs/graph.py").read_text()
    listed = re.findall(r'^    "(\w+)",$', graph, re.M)
    assert sorted(listed) == [p.stem for p in job_files()]


@pytest.mark.parametrize("path", job_files(), ids=lambda p: p.stem)
def test_a_job_never_imports_another_job(path):
    jobs = {f"spark_jobs.{p.stem}" for p in job_files()} - {f"spark_jobs.{path.stem}"}
    assert not imports(path) & jobs


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_shadows_the_standard_library(path):
    assert path.stem in ("__init__", "__main__") or path.stem not in sys.stdlib_module_names


def test_reading_the_tables_needs_no_spark():
    for name in ("inspect_tables", "delta_reader", "whatif"):
        assert not {i.split(".")[0] for i in imports(ROOT / f"spark_jobs/{name}.py")} & {"pyspark", "delta"}


def test_what_rl_shares_of_spark_jobs_needs_no_spark():
    for name in SPARKLESS:
        place = ROOT / name.replace(".", "/")
        for path in place.glob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
            for found in imports(path):
                assert found.split(".")[0] not in {"pyspark", "delta"}
                allowed = ("conf", "spark_jobs.kernels", "spark_jobs.oracle")
                assert not found.startswith(("spark_jobs.", "rl", "megatron_train")) or found.startswith(allowed)


def test_nothing_pickled_is_ever_loaded_and_no_shell_is_used():
    for path in SOURCES:
        text = path.read_text()
        assert not re.search(r"pickle\.loads?\(|marshal\.loads?\(|shell=True|os\.system\(", text), path


@pytest.fixture(scope="module")
def extras():
    captured = {}
    import setuptools

    original = setuptools.setup
    setuptools.setup = lambda **kwargs: captured.update(kwargs)
    try:
        runpy.run_path(str(ROOT / "setup.py"))
    finally:
        setuptools.setup = original
    return captured


def names(requirements):
    return {re.split(r"[\[=<>~! ]", r)[0].lower().replace("_", "-") for r in requirements}


def test_no_extra_asks_for_the_unrelated_apex(extras):
    lists = [extras["install_requires"], *extras["extras_require"].values()]
    assert all("apex" not in names(requirements) for requirements in lists)
    lock = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"^apex==", lock, re.M)


def test_transformer_engine_stands_in_the_gpu_extra_alone(extras):
    for extra, requirements in extras["extras_require"].items():
        assert ("transformer-engine" in names(requirements)) == (extra == "gpu"), extra
    assert "transformer" not in {line.split("_")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}


def test_the_lock_pins_every_requirement_with_hashes(extras):
    lock = (ROOT / "requirements.lock").read_text()
    pinned = names(re.findall(r"^([A-Za-z0-9_.-]+==\S+)", lock, re.M))
    wanted = names(extras["install_requires"])
    for extra in ("spark", "train", "rl", "serve", "dev"):
        wanted |= names(extras["extras_require"][extra])
    assert wanted <= pinned
    assert lock.count("==") <= lock.count("--hash=sha256:")


def test_extras_are_the_six_that_the_readme_names(extras):
    assert set(extras["extras_require"]) == {"spark", "train", "rl", "serve", "gpu", "dev"}


@pytest.mark.parametrize("path", [p for p in SOURCES if p.stem not in ("__init__", "__main__")], ids=lambda p: p.stem)
def test_the_tree_in_the_readme_has_a_line_for_every_file(path):
    package = path.relative_to(ROOT).parts[0]
    tree = (ROOT / "README.md").read_text().split("## The tree")[1]
    part = re.split(rf"^{package}/", tree, flags=re.M)[1]
    part = re.split(r"^\w+/", part, flags=re.M)[0]
    assert re.search(rf"^\s+{re.escape(path.name)}\s", part, re.M) or path.is_relative_to(ROOT / "conf/schema")


def test_the_tree_in_the_readme_names_no_file_that_is_gone():
    tree = (ROOT / "README.md").read_text().split("## The tree")[1]
    named = re.findall(r"^\s+(\w+\.py)\s", tree, re.M)
    assert not set(named) - {p.name for p in SOURCES}
