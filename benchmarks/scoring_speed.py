"""Prompts a CPU-second: the language-model scorer against vLLM alone and against transformers, and what a student saves.

    python benchmarks/scoring_speed.py output=runs/demo --scorer runs/demo/scorers/language_model [--contents 400] [--rounds 3]

All three read the same leading windows of the same contents (those of least hash) from memory, one thread, float32. "vLLM alone"
gets token ids that were made before, in the same order of length; ours starts from Arrow text, so tokenizing, sorting and
clipping are in its time. transformers gets batches of like length, padded, on the ids made before. Rounds are interleaved and
CPU time is counted, since the machine may be shared; the median ratio is printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa

from conf.schema.curate import ScoreSettings
from spark_jobs import scorers
from spark_jobs.delta_reader import DeltaReader
from spark_jobs.inspect_tables import TABLE_NAMES

BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", metavar="output=DIR")
    parser.add_argument("--scorer", required=True, help="a folder written by megatron_train.train_scorer")
    parser.add_argument("--contents", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    output = args.output.removeprefix("output=")
    rows = DeltaReader(output, TABLE_NAMES).sql(
        "SELECT text, language FROM contents ORDER BY content_sha256 LIMIT ?", [args.contents]
    )
    texts, languages = pa.array([row["text"] for row in rows]), [row["language"] for row in rows]
    settings = scorers.resolve(ScoreSettings(scorer=args.scorer, batch_size=BATCH), output)
    ours: Any = scorers.load(settings, scorers.version_of(settings))
    ids = sorted((window for text in texts.to_pylist() for window in ours.windows_of(text)), key=len)
    ways: dict[str, Callable[[], object]] = {
        "seedbed": lambda: ours.score(texts, languages),
        "vLLM alone": lambda: plain_vllm(ours._engine, ids),
        "transformers": transformers_way(args.scorer, ids),
    }
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, way in ways.items():
            started = time.process_time()
            way()
            seconds[name].append(time.process_time() - started)
    print(f"\n{len(ids)} prompts, {sum(map(len, ids)) / len(ids):.0f} tokens each, scorer {ours.version}")
    for name, spent in seconds.items():
        ratio = statistics.median(o / s for o, s in zip(spent, seconds["seedbed"], strict=True))
        print(f"{name:<14}{len(ids) / statistics.median(spent):>9.1f} prompts/CPU-s   seedbed is {ratio:.2f} x as fast")
    student_share(output, ours, texts, languages, settings)


def plain_vllm(engine: Any, ids: list[list[int]]) -> None:
    from vllm import PoolingParams
    from vllm.inputs import TokensPrompt

    prompts = [TokensPrompt(prompt_token_ids=one) for one in ids]
    engine.classify(prompts, pooling_params=PoolingParams(use_activation=False), use_tqdm=False)


def transformers_way(folder: str, ids: list[list[int]]) -> Callable[[], None]:
    import torch
    from transformers import LlamaForSequenceClassification

    torch.set_num_threads(1)
    model = LlamaForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    pad = model.config.pad_token_id or 0

    def run() -> None:
        with torch.inference_mode():
            for i in range(0, len(ids), BATCH):
                part = ids[i : i + BATCH]
                width = max(map(len, part))
                tokens = torch.tensor([one + [pad] * (width - len(one)) for one in part])
                mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in part])
                model(input_ids=tokens, attention_mask=mask, use_cache=False)

    return run


def student_share(output: str, teacher: Any, texts: pa.Array, languages: list[Any], settings: ScoreSettings) -> None:
    """What a structural first pass would spare the model, and how often the two would disagree about the lowest tenth."""
    structural = scorers.resolve(ScoreSettings(), output)
    student = scorers.load.__wrapped__(
        structural, scorers.version_of(structural)
    )  # the cache holds one scorer, the engine
    small, large = student.score(texts, languages), teacher.score(texts, languages)
    spared = small < settings.student_below
    count = len(texts) // 10
    low = np.zeros((2, len(texts)), bool)
    for row, quality in zip(low, (np.where(spared, small, large), large), strict=True):
        row[np.argsort(quality, kind="stable")[:count]] = True
    print(f"student {student.version}: {spared.mean():.0%} spared below {settings.student_below:g}")
    print(f"lowest tenth by the model alone, also lowest with the student: {(low[0] & low[1]).sum() / count:.0%}")


if __name__ == "__main__":
    main()
