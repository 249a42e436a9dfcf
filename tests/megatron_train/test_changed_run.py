"""Runs whose batch grows, and runs whose batch and blend change at a checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from conf.loader import load
from conf.schema.pretrain import PretrainConfig
from megatron_train import lineage
from tests.megatron_train import tiny
from tests.megatron_train.test_pretrain import OPTIONS, finish, rows, start

# Its rates do not depend on the length of the run.
RATE = ["schedule.kind=inverse-sqrt", "eval_every=0"]
RAMP = "batch.ramp={start: 4, increment: 4, samples: 16}"


@pytest.fixture(scope="module")
def ramped(token_folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("ramped") / "run"
    shutil.copytree(token_folder, run)
    finish(start(run, *RATE, RAMP, "schedule.steps=8", "keep=9"))
    return run


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in rows(run)]


def test_a_ramp_reads_more_with_every_step_and_counts_samples(ramped):
    written = rows(ramped)
    assert [row["batch"] for row in written] == [4, 4, 4, 4, 8, 8, 8, 8]
    assert [row["first_sample"] for row in written] == [0, 4, 8, 12, 16, 24, 32, 40]
    assert written[-1]["tokens"] == 48 * 64
    # Two steps of warm-up have 8 samples, and the rate falls by the square root of samples.
    assert [row["lr"] for row in written] == pytest.approx(
        [0.005, *(0.01 * (8 / n) ** 0.5 for n in (8, 12, 16, 24, 32, 40, 48))], rel=1e-12
    )


def test_a_run_that_stops_in_its_ramp_goes_on_to_the_bit(ramped, tmp_path):
    shutil.copytree(ramped, tmp_path / "run")
    (tmp_path / "run/pretrain/checkpoints/latest").write_text("step_00000003\n")
    said = finish(start(tmp_path / "run", *RATE, RAMP, "schedule.steps=8"))
    assert "resumed at step 3" in said
    assert losses(tmp_path / "run") == losses(ramped)


@pytest.mark.slow
def test_a_ramp_on_two_processes_has_the_losses_of_one(ramped, token_folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(token_folder, run)
    finish(start(run, *RATE, RAMP, "schedule.steps=8", processes=2))
    assert losses(run) == pytest.approx(losses(ramped), abs=1e-6)


@pytest.fixture(scope="module")
def changed(token_folder, tmp_path_factory):
    """(run, its options): six steps of code and web, then six of web and a new source."""
    run = tmp_path_factory.mktemp("changed") / "run"
    shutil.copytree(token_folder, run)
    for name, seed in (("web", 7), ("new", 8)):
        texts = tiny.documents(300, seed=seed), tiny.documents(60, seed=seed + 50)
        tiny.write_tokens(run / name, *texts, trained_on=tiny.documents(300))
    before = f"data.blend=[{{name: code, tokens: {run}/tokens, weight: 3}}, {web(run)}]"
    finish(start(run, *RATE, before, "schedule.steps=6"))
    after = [
        f"data.blend=[{web(run)}, {{name: new, tokens: {run}/new}}]",
        *("batch.total=4", "schedule.steps=12"),
    ]
    return run, after


def web(run: Path) -> str:
    return f"{{name: web, tokens: {run}/web}}"


@pytest.fixture(scope="module")
def accepted(changed):
    run, after = changed
    options = [*after, "accept_change=[batch,data.blend]"]
    at_the_change = run.parent / "copy"
    shutil.copytree(run, at_the_change)
    said = finish(start(run, *RATE, *options))
    return run, options, said, at_the_change


def test_an_accepted_change_is_said_and_recorded(accepted):
    run, _, said, _ = accepted
    assert "segment 2 begins after step 6 at sample 48" in said
    assert "web goes on behind 12 samples; new goes on behind 0 samples" in said
    written = rows(run)
    assert [(row["segment"], row["batch"]) for row in written] == [(1, 8)] * 6 + [(2, 4)] * 6
    assert [row["first_sample"] for row in written[5:8]] == [40, 48, 52]
    assert written[-1]["tokens"] == (6 * 8 + 6 * 4) * 64
    recorded = json.loads((run / "pretrain" / "segments.json").read_text())["segments"]
    assert [(one["step"], one["sample"]) for one in recorded] == [(0, 0), (6, 48)]
    assert recorded[0]["config_hash"] != recorded[1]["config_hash"]


def test_no_sample_of_a_source_that_stays_is_read_twice(accepted):
    run, options, _, _ = accepted
    cfg = load(PretrainConfig, None, [*OPTIONS, *RATE, *options, f"output={run}"])
    order = lineage.Order.of(cfg)
    read: dict[str, list[int]] = {}
    for step in range(1, 13):
        data = lineage._blend_of(cfg, order.segments, order.stretch(step).segment)
        first = order.first_sample(step)
        for i in range(first, first + order.size(step)):
            source, number = data.locate(i)
            read.setdefault(data.names[source], []).append(number)
            assert order.step_of(i) == step
    assert {name: len(numbers) for name, numbers in read.items()} == {
        "code": 36,
        "web": 24,
        "new": 12,
    }
    assert all(numbers == list(range(len(numbers))) for numbers in read.values())


def test_lineage_asks_the_blend_of_the_step(accepted, capsys):
    run, options, _, _ = accepted
    words = [*OPTIONS, *RATE, *options, f"output={run}"]
    for step, names in (("6", {"code", "web"}), ("7", {"web", "new"})):
        lineage.which_documents(["--step", step, *words])
        said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert {one["source"] for one in said} == names
        assert {one["step"] for one in said} == {int(step)}


@pytest.mark.slow
def test_the_same_change_in_another_layout_has_the_same_losses(accepted):
    run, options, _, at_the_change = accepted
    again = [word.replace(str(run), str(at_the_change)) for word in options]
    finish(start(at_the_change, *RATE, *again, processes=2))
    assert losses(at_the_change) == pytest.approx(losses(run), abs=1e-6)
