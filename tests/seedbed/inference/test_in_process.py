"""The engine of a Python worker: one at a time, whoever asks."""

from __future__ import annotations

import gc
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from seedbed.inference import in_process
from tests.spark_jobs.test_score_quality import random_scorer

PROMPT = {"prompt_token_ids": [5, 6, 7]}


def ask_in_turn(folder: str, other: str) -> list[list[float]]:
    """Scores of one prompt by: `folder`, `other`, `other` after a collection, `folder` with other
    weights.
    """
    from safetensors.torch import load_file, save_file

    def score(model: str) -> list[float]:
        engine = in_process.engine(model, runner="pooling", dtype="float32", max_model_len=64)
        return list(engine.classify([PROMPT], use_tqdm=False)[0].outputs.probs)

    scores = [score(folder), score(other)]
    # an engine that was only dropped would end here, and take the other's process groups along
    gc.collect()
    scores.append(score(other))
    weights = load_file(f"{folder}/model.safetensors")
    save_file(
        {**weights, "score.weight": -weights["score.weight"]},
        f"{folder}/model.safetensors",
        {"format": "pt"},
    )
    return [*scores, score(folder)]


@pytest.mark.nightly
@pytest.mark.slow
def test_a_second_engine_outlives_the_first_and_new_weights_in_a_folder_are_seen(tmp_path):
    folders = []
    for name in ("a", "b"):
        random_scorer(tmp_path / name)
        folders.append(str(tmp_path / name))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        first, second, again, changed = process.submit(ask_in_turn, *folders).result()
    assert first == second == again != changed
