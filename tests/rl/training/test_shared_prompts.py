"""A prompt that is computed once for all its samples: the same losses, and no sample is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from conf.schema.pretrain import ParallelConfig
from rl.training.batches import Example, ProcessShare
from rl.training.shared_prompts import groups_of, saved_share, shared_batches, told, why_apart
from tests.tiny_model import write_model

ROOT = Path(__file__).parents[3]
MODULE = "tests.rl.training.shared_worker"


def example(prompt: list[int], response: list[int], told: tuple[int, ...] = ()) -> Example:
    sampled = [i not in told for i in range(len(response))]
    given = {"engine_logprobs": [-float(token) for token in response]}
    return Example(prompt, response, {"advantage": response[0] / 10}, given, sampled)


ONE = example([1, 2, 3], [10, 11], told=(1,))
TWO = example([1, 2, 3], [20, 21, 22])
OTHER = example([4], [30])


def test_a_row_has_a_prompt_once_and_each_response_begins_with_its_last_token():
    [batch] = shared_batches([ONE, OTHER, TWO], 4, ProcessShare(0, 1, 0, 4))
    assert batch["prefix_lengths"].tolist() == [[2, 2, 3], [0, 1, 0]]
    assert batch["tokens"].tolist() == [[1, 2, 3, 10, 3, 20, 21, 4]]
    assert batch["response_positions"].tolist() == [[2, 3, 0], [4, 5, 6], [7, 0, 0]]
    labels = batch["labels"][0]
    for row, one in zip(batch["response_positions"], (ONE, TWO, OTHER), strict=True):
        assert labels[row[: len(one.response)]].tolist() == one.response
    assert batch["loss_mask"].tolist() == [[1, 0, 0], [1, 1, 1], [1, 0, 0]]
    assert batch["advantage"].tolist() == pytest.approx([1.0, 2.0, 3.0])
    assert batch["engine_logprobs"].tolist() == [[-10, -11, 0], [-20, -21, -22], [-30, 0, 0]]
    # Of 4 + 5 + 1 positions two are saved.
    assert saved_share([ONE, OTHER, TWO], 4, ProcessShare(0, 1, 0, 4)) == pytest.approx(0.2)
    assert saved_share([ONE, OTHER], 4, ProcessShare(0, 1, 0, 4)) == 0


def test_micro_batches_have_no_more_sequences_than_asked_and_all_processes_equally_many():
    examples = [example([n % 3, 1, 2], [10 + n] * (n % 4 + 1)) for n in range(17)]
    for dp, size in ((1, 4), (2, 4), (2, 16), (3, 2), (5, 8)):
        shares = [shared_batches(examples, size, ProcessShare(r, dp, 9, 2)) for r in range(dp)]
        assert len({len(share) for share in shares}) == 1
        batches = [batch for share in shares for batch in share]
        assert max(len(batch["advantage"]) for batch in batches) <= size
        assert all(batch["tokens"].size(1) % 2 == 0 for batch in batches)
        counted = [
            sorted(batch["labels"][0][where[mask > 0]].tolist())
            for batch in batches
            for where, mask in zip(batch["response_positions"], batch["loss_mask"], strict=True)
            if mask.any()
        ]
        assert sorted(counted) == sorted(list(one.response) for one in examples)


def test_a_process_without_samples_computes_something_that_counts_nowhere():
    shares = [shared_batches([ONE], 4, ProcessShare(rank, 2, 0, 1)) for rank in range(2)]
    assert [len(share) for share in shares] == [1, 1]
    assert [float(share[0]["loss_mask"].sum()) for share in shares] == [1, 0]


def test_a_group_that_is_larger_than_a_micro_batch_is_divided():
    examples = [example([1, 2], [n]) for n in range(1, 6)]
    assert [len(group) for group in groups_of([*examples, OTHER], 2)] == [2, 2, 1, 1]


@pytest.mark.parametrize(
    ("layout", "engine", "word"),
    [
        (ParallelConfig(), False, None),
        (ParallelConfig(tp=2, sequence_parallel=True), False, None),
        (ParallelConfig(pp=2), False, "parallel.pp=2"),
        (ParallelConfig(cp=2), False, "parallel.cp=2"),
        (ParallelConfig(), True, "Transformer Engine"),
    ],
)
def test_layouts_without_shared_prompts_say_why(layout, engine, word):
    fp8 = SimpleNamespace(transformer_engine=engine)
    state = SimpleNamespace(layout=layout, fp8=fp8)
    found = why_apart(state)
    assert found is None if word is None else word in found
    assert (word or "computed once") in told(state)


def run(folder: Path, out: Path, ranks: int, *settings: str) -> dict:
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


def check(seen: dict) -> None:
    shared, apart = seen["shared"], seen["apart"]
    for ours, theirs in zip(shared["steps"], apart["steps"], strict=True):
        assert ours.keys() == theirs.keys()
        assert (ours.pop("positions_saved") > 0.2, theirs.pop("positions_saved")) == (True, 0.0)
        norms = ours.pop("grad_norm"), theirs.pop("grad_norm")
        assert norms[0] == pytest.approx(norms[1], rel=1e-5)
        for name, value in ours.items():
            assert value == pytest.approx(theirs[name], abs=2e-6, rel=2e-6), name
    assert len(shared["logprobs"]) == 12
    for ours, theirs in zip(shared["logprobs"], apart["logprobs"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    for name, values in shared["gradients"].items():
        largest = max(map(abs, apart["gradients"][name]))
        assert values == pytest.approx(apart["gradients"][name], abs=5e-6 * largest), name


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "hf")


def test_losses_gradients_and_log_probabilities_are_those_of_separate_rows(folder, tmp_path):
    check(run(folder, tmp_path / "seen.json", 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout",
    [
        ["parallel.tp=2", "parallel.sequence_parallel=true", "parallel.recompute=full"],
        # Two data-parallel processes.
        [],
    ],
    ids=lambda layout: " ".join(layout) or "dp=2",
)
def test_two_processes_give_those_of_separate_rows(folder, tmp_path, layout):
    check(run(folder, tmp_path / "seen.json", 2, *layout))
