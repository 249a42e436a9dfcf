"""Workers that are launched once for many assertions.

Starting processes costs more than the steps that they take.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.megatron_train import tiny


@pytest.fixture(scope="session")
def run_steps(tmp_path_factory):
    """run_steps(processes, **options) -> what steps_worker.py saw."""
    root = tmp_path_factory.mktemp("steps")

    def run(processes: int, **options):
        out = root / f"{len(list(root.iterdir()))}.json"
        tiny.launch(
            processes,
            str(Path(__file__).with_name("steps_worker.py")),
            str(out),
            json.dumps(options),
        )
        return json.loads(out.read_text())

    return run


@pytest.fixture(scope="session")
def token_folder(tmp_path_factory):
    """A run folder with tokens/ in it; copy it before writing to it."""
    run = tmp_path_factory.mktemp("run")
    tiny.write_tokens(run / "tokens", tiny.documents(300), tiny.documents(60, seed=1))
    return run
