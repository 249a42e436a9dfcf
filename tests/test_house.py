"""The rules of the house that a machine can hold: import directions, names, and clean extras."""

from __future__ import annotations

import ast
import re
import runpy
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("conf", "seedbed", "spark_jobs", "megatron_train", "rl", "report", "demo")
SOURCES = sorted(p for name in PACKAGES for p in (ROOT / name).rglob("*.py"))
FOLDERS = sorted({p.parent for p in SOURCES})
# of Python in one folder: more is a hall and not a room
MOST_FILES = 20

# package -> the packages of this project that it may import; there is no exception
ARROWS = {
    "conf": set(),
    "seedbed": {"conf"},
    "spark_jobs": {"conf", "seedbed"},
    "megatron_train": {"conf", "seedbed"},
    "rl": {"conf", "seedbed", "megatron_train"},
    "report": {"conf", "seedbed"},
    "demo": {"conf", "seedbed"},
}
# package -> third-party packages that it never imports, wherever in a file
NEVER = {
    "conf": {"pyspark", "torch", "numpy", "megatron", "vllm"},
    "seedbed": {"pyspark", "delta", "megatron"},
    "spark_jobs": {"torch", "megatron", "transformers"},
    "megatron_train": {"pyspark", "delta", "vllm"},
    "rl": {"pyspark", "delta"},
    "report": {"pyspark", "delta", "torch", "vllm"},
    "demo": {"pyspark", "delta", "torch", "vllm"},
}
# folder -> all that it may import of this project, where that is less than its package may
ROOMS = {
    "seedbed/kernels": {"seedbed.kernels"},
    "seedbed/sandbox": {"conf", "seedbed.sandbox", "seedbed.jsonl", "seedbed.files"},
    "seedbed/tables": {"conf", "seedbed.tables", "seedbed.storage", "seedbed.stores"},
    "seedbed/stores": {"conf", "seedbed.stores", "seedbed.storage", "seedbed.files"},
    "seedbed/inference": {
        "conf",
        "seedbed.inference",
        "seedbed.kernels.tokens.plain_text",
        "seedbed.dtypes",
        "seedbed.jsonl",
        "seedbed.processes",
    },
}


def imports(path: Path) -> set[str]:
    """Dotted names of every module that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # the jail's own package is loaded without this project on its path
            if node.level:
                assert path.is_relative_to(ROOT / "seedbed/sandbox/inside"), (
                    f"{path}: relative import"
                )
                continue
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def inside(name: str, allowed: set[str]) -> bool:
    return any(name == a or name.startswith(f"{a}.") or a.startswith(f"{name}.") for a in allowed)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    package = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        root = name.split(".")[0]
        assert root not in NEVER[package], f"{package} must not import {root}"
        assert root not in PACKAGES or root in ARROWS[package] | {package}, f"imports {name}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_no_more_than_its_row_says(room):
    for path in sorted((ROOT / room).rglob("*.py")):
        for name in imports(path):
            assert name.split(".")[0] not in PACKAGES or inside(name, ROOMS[room]), (
                f"{path} imports {name}"
            )


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_folder_is_a_package_and_no_hall(folder):
    assert (folder / "__init__.py").is_file()
    assert len(list(folder.glob("*.py"))) <= MOST_FILES


@pytest.mark.parametrize(
    "path", sorted((ROOT / "seedbed/sandbox").rglob("*.py")), ids=lambda p: p.name
)
def test_the_sandbox_needs_the_standard_library_and_little_else(path):
    """Spark executors and bare hosts run it too."""
    for name in imports(path):
        assert name.split(".")[0] in sys.stdlib_module_names | {"conf", "tqdm", "seedbed"}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "seedbed/kernels").rglob("*.py")), ids=lambda p: p.name
)
def test_kernels_know_nothing_of_tables(path):
    for name in imports(path):
        assert name.split(".")[0] not in {"deltalake", "conf"}


def job_files() -> list[Path]:
    return [
        p
        for p in sorted((ROOT / "spark_jobs").glob("*.py"))
        if re.search(r"^JOB\b", p.read_text(), re.M)
    ]


def test_the_graph_names_every_job_file():
    graph = (ROOT / "spark_jobs/graph.py").read_text()
    listed = re.findall(r'^    "(\w+)",$', graph, re.M)
    assert sorted(listed) == [p.stem for p in job_files()]


@pytest.mark.parametrize("path", job_files(), ids=lambda p: p.stem)
def test_a_job_never_imports_another_job(path):
    jobs = {f"spark_jobs.{p.stem}" for p in job_files()} - {f"spark_jobs.{path.stem}"}
    assert not imports(path) & jobs


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_and_no_folder_is_named_like_one_of_the_standard_library(path):
    assert not set(path.relative_to(ROOT).parts[:-1]) & set(sys.stdlib_module_names)
    assert path.stem in ("__init__", "__main__") or path.stem not in sys.stdlib_module_names


# Modules whose reading runs what the bytes say.
UNSAFE = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
# Names that run a shell string or a pickle, wherever they come from.
UNSAFE_NAMES = {"popen", "getoutput", "getstatusoutput", "read_pickle", "Unpickler"}
UNSAFE_NAMES |= {"unsafe_load", "full_load", "UnsafeLoader", "CloudPickleSerializer"}
# The children of a worker run functions of their own server, which it sends them.
OWN_FUNCTIONS = {"spark_jobs/runtime/children/program.py", "spark_jobs/runtime/python_map.py"}


def is_constant(value: ast.expr | None, wanted: object) -> bool:
    return isinstance(value, ast.Constant) and value.value is wanted


def unsafe(source: str) -> set[str]:
    """What a source has that reads a pickle or hands a string to a shell."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            names = {module.split(".")[0], *(alias.name.split(".")[0] for alias in node.names)}
            found |= names & (UNSAFE | UNSAFE_NAMES)
            found |= names & {"system"} if module == "os" else set()
        elif isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            found |= {name} & UNSAFE_NAMES
            found |= {ast.unparse(node)} & {"os.system"}
        if not isinstance(node, ast.Call):
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        called = ast.unparse(node.func)
        if called.split(".")[-1] in ("import_module", "__import__") and node.args:
            told = node.args[0]
            found |= {told.value} & UNSAFE if isinstance(told, ast.Constant) else set()
        if called in ("torch.load", "yaml.load") or "weights_only" in given:
            found |= set() if is_constant(given.get("weights_only"), True) else {called}
        # A value that is not written out may be anything.
        found |= {
            name
            for name in ("allow_pickle", "shell")
            if name in given and not is_constant(given[name], False)
        }
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "from _pickle import loads",
        "import cloudpickle, json",
        "import joblib.numpy_pickle",
        "from importlib import import_module\nimport_module('pickle')",
        "__import__('marshal').loads(b)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "torch.load(f, weights_only=safe)",
        "dcp.load(f, weights_only=False)",
        "numpy.load(f, allow_pickle=True)",
        "np.load(f, allow_pickle=given)",
        "pandas.read_pickle(f)",
        "yaml.load(f, Loader=yaml.Loader)",
        "yaml.unsafe_load(f)",
        "from pyspark.serializers import CloudPickleSerializer",
        "os.system('ls')",
        "from os import system",
        "os.popen('ls')",
        "subprocess.run('ls', shell=True)",
        "run(command, shell=wanted)",
        "subprocess.getoutput('ls')",
    ],
)
def test_each_way_to_read_a_pickle_or_to_run_a_shell_string_is_found(source):
    assert unsafe(source)


@pytest.mark.parametrize(
    "source",
    [
        "import json",
        "torch.load(f, weights_only=True)",
        "np.load(f)",
        "np.load(f, allow_pickle=False)",
        "subprocess.run(['ls'], shell=False)",
        "process.cpu_times().system",
        "yaml.safe_load(f)",
    ],
)
def test_what_reads_no_pickle_is_let_pass(source):
    assert not unsafe(source)


def test_nothing_pickled_is_ever_loaded_and_no_shell_is_used():
    tools = sorted(p for name in ("scripts", "benchmarks") for p in (ROOT / name).rglob("*.py"))
    assert len(tools) > 5
    for path in [*SOURCES, *tools]:
        name = str(path.relative_to(ROOT))
        allowed = {"CloudPickleSerializer"} if name in OWN_FUNCTIONS else set()
        assert not unsafe(path.read_text()) - allowed, name


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
    assert "transformer" not in {
        line.split("_")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()
    }


def test_the_lock_pins_every_requirement_with_hashes(extras):
    lock = (ROOT / "requirements.lock").read_text()
    pinned = names(re.findall(r"^([A-Za-z0-9_.-]+==\S+)", lock, re.M))
    wanted = names(extras["install_requires"])
    for extra in ("spark", "train", "rl", "serve", "docs", "dev"):
        wanted |= names(extras["extras_require"][extra])
    assert wanted <= pinned
    assert lock.count("==") <= lock.count("--hash=sha256:")


def test_extras_are_the_seven_that_the_install_page_names(extras):
    expected = {"spark", "train", "rl", "serve", "gpu", "docs", "dev"}
    assert set(extras["extras_require"]) == expected
    page = (ROOT / "docs/install.md").read_text()
    assert expected == set(re.findall(r"^\| `(\w+)` \|", page, re.M))


MOST_PARAMETERS = 6


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_function_takes_more_than_six_parameters(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            given = node.args
            names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            names = [n for n in names if n not in ("self", "cls")]
            assert len(names) <= MOST_PARAMETERS, f"{path}:{node.lineno}: {names}"


def test_no_class_name_has_two_meanings():
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


# What stands behind code for a tool and not for a reader.
FOR_TOOLS = re.compile(r"#\s*(type:|noqa|pragma:|fmt:)")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_comment_stands_on_a_line_of_its_own(path):
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT and not FOR_TOOLS.match(token.string):
                assert not token.line[: token.start[1]].strip(), f"{path}:{token.start[0]}"


# Where special tokens spelt in a text are decided, and what reads a tokenizer for its vocabulary.
ENCODERS = {
    "seedbed/kernels/tokens/plain_text.py",
    "seedbed/kernels/tokens/packing.py",
    "seedbed/kernels/tokens/tiktoken_form.py",
    "seedbed/special_names.py",
    "spark_jobs/train_tokenizer.py",
    "megatron_train/pack_texts.py",
}


def test_text_that_is_data_is_encoded_by_the_one_rule():
    """`Tokenizer.from_*` would take special tokens that a text spells for special tokens."""
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        text = path.read_text()
        assert "split_special_tokens" not in text, name
        if name not in ENCODERS:
            assert not re.search(r"\bTokenizer\.from_|encode_special_tokens", text), (
                f"{name}: use plain_text.plain_tokenizer"
            )
