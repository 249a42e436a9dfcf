"""A KL penalty and several updates in a cut model, or over several, are those of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_model import write_model

ROOT = Path(__file__).parents[3]
MODULE = "tests.rl.training.layout_worker"


def run(folder: Path, out: Path, ranks: int, *settings: str) -> list[dict[str, float]]:
    launch = [sys.executable, "-m"]
    if ranks > 1:
        launch += ["torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "-m"]
    told = subprocess.run(
        [*launch, MODULE, str(folder), str(out), *settings],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr[-4000:]
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "hf")


@pytest.fixture(scope="module")
def alone(tmp_path_factory, folder) -> list[dict[str, float]]:
    return run(folder, tmp_path_factory.mktemp("alone") / "seen.json", 1)


def test_later_updates_leave_the_ratio_of_one_and_are_drawn_to_the_reference(alone):
    first, second = alone
    for step in alone:
        assert step["ratio"] != pytest.approx(1.0, abs=1e-4)
        assert step["clipped"] > 0
    # Two of the three updates of the first step are away from the reference.
    assert second["kl"] > 2 * first["kl"] > 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout",
    [
        ["parallel.tp=2"],
        ["parallel.tp=2", "parallel.sequence_parallel=true"],
        ["parallel.pp=2"],
        ["parallel.cp=2"],
        # Two data-parallel processes.
        [],
    ],
    ids=lambda layout: " ".join(layout) or "dp=2",
)
def test_two_processes_compute_the_losses_penalties_and_ratios_of_one(
    alone, folder, tmp_path, layout
):
    seen = run(folder, tmp_path / "seen.json", 2, *layout)
    for ours, theirs in zip(seen, alone, strict=True):
        assert ours.keys() == theirs.keys()
        norms = ours.pop("grad_norm"), dict(theirs).pop("grad_norm")
        assert norms[0] == pytest.approx(norms[1], rel=1e-5)
        # Six updates multiply rounding: in one process, micro-batches of one sequence change a
        # mean ratio by 2e-6.
        for name, value in ours.items():
            assert value == pytest.approx(theirs[name], abs=1e-5), name
