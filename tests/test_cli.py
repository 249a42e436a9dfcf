"""The console script: it starts the programs of its table and stands in their way nowhere."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from seedbed import cli, completion
from seedbed.commands import COMMANDS
from tests.report import tiny

ROOT = Path(__file__).parents[1]
# These import torch before they read their arguments.
HEAVY = [
    *("pretrain", "stages", "plan", "which-documents", "which-steps", "bits-per-byte"),
    *(
        "train-scorer",
        "export-hf",
        "complete",
        "synthesize",
        "distill",
        "sft",
        "dpo",
        "grpo",
        "evaluate",
        "check-parity",
    ),
]


OF_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


def seedbed(*words, cwd=ROOT, **environment):
    # Another test may have left this process as the only one of a run.
    outer = {name: value for name, value in os.environ.items() if name not in OF_TORCHRUN}
    return subprocess.run(
        [sys.executable, "-m", "seedbed", *words],
        cwd=cwd,
        env={**outer, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    tiny.write_run(folder)
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_names_a_program_a_schema_and_configs_that_exist(name):
    command = COMMANDS[name]
    module = command.program.split()[0]
    spec = importlib.util.find_spec(module)
    assert spec is not None
    if spec.submodule_search_locations:
        assert importlib.util.find_spec(f"{module}.__main__")
    if command.schema:
        holder, schema = command.schema.split(":")
        assert dataclasses.is_dataclass(getattr(importlib.import_module(holder), schema))
    assert not command.configs or completion.config_files(command)


def test_help_has_one_line_per_command():
    lines = seedbed("--help").stdout.splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert [line.split()[0] for line in lines if line.startswith("  ")] == [*COMMANDS, *cli.OWN]


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in HEAVY])
def test_a_program_gives_its_own_help(name):
    result = seedbed(name, "--help")
    assert result.returncode == 0
    assert COMMANDS[name].program.split()[0] in result.stdout


# Runs programs one after the other in one interpreter, so that torch is imported once.
HELP_OF_ALL = """
import contextlib, io, json, runpy, sys
found = {}
for program in json.loads(sys.argv[1]):
    module, *words = program.split()
    sys.argv, said, code = [module, *words, "--help"], io.StringIO(), 0
    with contextlib.redirect_stdout(said):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            code = ended.code or 0
    found[program] = [code, said.getvalue()]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_programs_that_train_give_their_own_help():
    programs = {COMMANDS[name].program for name in HEAVY}
    command = [sys.executable, "-c", HELP_OF_ALL, json.dumps(sorted(programs))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == programs
    for program, (code, said) in found.items():
        assert code == 0, program
        assert program.split()[0] in said


def test_nothing_heavy_is_imported_before_the_program_starts():
    code = "import sys, seedbed.cli, seedbed.completion; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"numpy", "pyarrow", "deltalake", "duckdb", "torch", "pyspark", "omegaconf", "argparse"}
    assert not heavy & set(loaded)


def test_status_of_a_run_is_what_the_module_prints(run):
    by_module = subprocess.run(
        [sys.executable, "-m", "spark_jobs", "status", f"output={run}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    result = seedbed("status", f"output={run}")
    assert (result.returncode, result.stdout) == (0, by_module.stdout)
    assert "contents" in result.stdout


def test_a_failing_program_gives_its_exit_status_and_its_error(tmp_path):
    result = seedbed("explain", "no_such_file.py", f"output={tmp_path}")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")


def test_a_signal_reaches_the_program_itself(tmp_path):
    """The program took the process over, so no parent is there that could outlive it."""
    (tmp_path / "wait.py").write_text(
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(7))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    code = (
        "from seedbed import cli, commands\n"
        "commands.COMMANDS['wait'] = commands.Command('', 'wait')\n"
        "import sys; sys.argv = ['seedbed', 'wait']; cli.main()\n"
    )
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 7


def test_an_unknown_command_names_the_nearest_one():
    result = seedbed("curte", "output=x")
    assert result.returncode == 2
    assert "did you mean `seedbed curate`?" in result.stderr


def test_a_module_of_the_users_own_folder_is_not_started_in_place_of_ours(run, tmp_path):
    (tmp_path / "report.py").write_text("raise SystemExit(9)")
    (tmp_path / "report.html").write_text("")
    result = seedbed_script("report", f"output={run}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (run / "report.html").is_file()


def seedbed_script(*words, cwd):
    """As the installed script starts: the working folder is not on its path."""
    code = "import sys; from seedbed.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def line(name, *words, **environment):
    return cli.command_line(COMMANDS[name], list(words), environment)[2:]


def test_one_process_is_the_program_itself_and_several_are_started_by_torchrun():
    assert line("sft", "output=x") == ["rl.sft", "output=x"]
    assert line("sft", "--nproc", "1", "output=x") == ["rl.sft", "output=x"]
    several = ["torch.distributed.run", "--standalone", "--nproc-per-node", "4"]
    # A step may take longer than torchrun's own 30 s between SIGTERM and SIGKILL.
    several += ["--shutdown-timeout", "600", "-m"]
    for given in (["--nproc", "4"], ["--nproc=4"], ["nproc=4"]):
        assert line("pretrain", "a=b", *given) == [*several, "megatron_train.pretrain", "a=b"]
    assert line("stages", "resume", "nproc=4") == [*several, "megatron_train.stages", "resume"]


def test_a_process_of_torchrun_starts_no_further_ones():
    assert line("sft", "output=x", WORLD_SIZE="4") == ["rl.sft", "output=x"]
    with pytest.raises(SeedbedError, match="inside a process that torchrun started"):
        line("sft", "--nproc", "2", WORLD_SIZE="4")


@pytest.mark.parametrize("number", ["0", "two", ""])
def test_a_number_of_processes_that_cannot_be_is_refused(number):
    with pytest.raises(SeedbedError, match="not a number of processes"):
        line("sft", "--nproc", number)


def test_a_program_of_one_process_takes_every_argument_as_it_is():
    assert line("status", "nproc=4") == ["spark_jobs", "status", "nproc=4"]


@pytest.mark.slow
def test_several_processes_start_and_their_failure_is_seen(tmp_path):
    result = seedbed("pretrain", "--nproc", "2", f"output={tmp_path}", "no_such_key=1")
    assert result.returncode == 1
    assert "unknown key no_such_key" in result.stderr


COMPLETIONS = {
    "seedbed cur": ["curate"],
    "seedbed completion z": ["zsh"],
    "seedbed curate --config ": [
        f"conf/curate/{name}.yaml" for name in ("cluster", "demo", "demo_small", "local")
    ],
    "seedbed curate near.ba": ["near.bands="],
    "seedbed grpo --np": ["--nproc"],
    "seedbed whatif output=runs/demo --thr": ["--threshold", "--threshold-of"],
    "seedbed pretrain parallel.sequence_parallel=t": ["parallel.sequence_parallel=true"],
    "seedbed demo --config conf/demo/": ["conf/demo/full.yaml", "conf/demo/small.yaml"],
    "seedbed no_such_command ": [],
}


@pytest.mark.parametrize("typed", COMPLETIONS)
def test_candidates_continue_what_was_typed(typed, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert completion.candidates(typed.split(" ")[1:]) == COMPLETIONS[typed]


@pytest.fixture
def script(tmp_path):
    """The folder of a `seedbed` as pip would install it."""
    path = tmp_path / "bin" / "seedbed"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m seedbed "$@"\n')
    path.chmod(0o755)
    return path


def in_shell(command, folder):
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("typed", COMPLETIONS)
def test_bash_completes(typed, script):
    """The function that `complete` registered runs as bash would run it for the tab key."""
    lines = [
        'eval "$(seedbed completion bash)"',
        "compopt() { :; }",
        f"COMP_LINE='{typed}' COMP_POINT={len(typed)}",
        "_seedbed seedbed",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ]
    result = in_shell(["bash", "-c", "\n".join(lines)], script.parent)
    assert result.stderr == ""
    # bash replaces only what stands behind the last `=`
    behind = [
        found.rpartition("=")[2] if "=" in typed.split(" ")[-1] else found
        for found in COMPLETIONS[typed]
    ]
    assert result.stdout.split() == behind


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
@pytest.mark.parametrize("typed", [t for t in COMPLETIONS if COMPLETIONS[t]])
def test_fish_completes(typed, script, tmp_path):
    code = f"seedbed completion fish | source; complete -C '{typed}'"
    environment = f"HOME={tmp_path}"
    result = in_shell(["env", environment, "fish", "--no-config", "-c", code], script.parent)
    assert result.stdout.split() == COMPLETIONS[typed]


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh_reads_its_script(script):
    start = "autoload -U compinit; compinit -u -D"
    code = f'{start}; eval "$(seedbed completion zsh)"; print $_comps[seedbed]'
    result = in_shell(["zsh", "-f", "-c", code], script.parent)
    assert (result.stdout, result.stderr) == ("_seedbed\n", "")


@pytest.mark.parametrize("words", [[], ["tcsh"], ["bash", "zsh"]])
def test_completion_of_an_unknown_shell_is_refused(words):
    with pytest.raises(SeedbedError, match="takes the name of one shell"):
        completion.script(words)
