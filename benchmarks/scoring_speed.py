"""Prompts per CPU second: the language-model scorer against plain vLLM and transformers.

    python benchmarks/scoring_speed.py output=runs/demo --scorer runs/demo/scorers/language_model

All read the same leading windows of the same contents from memory, with one thread and float32. The
contents are those with the smallest hashes. No two have the same window, which ours would score
once. Ours starts from Arrow text, so its time includes tokenizing, sorting and clipping. "vLLM
alone" is the same engine with ready token ids in the same order of length, or from text, which it
tokenizes and cuts itself. transformers gets padded batches of ready ids of similar length, in two
sizes.

Rounds are interleaved, and CPU time is counted beside wall time, since the machine may be shared.
The median ratio is printed, and the share of contents that a student would spare the model.
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
from vllm import PoolingParams
from vllm.inputs import TokensPrompt

from conf.schema.curate import ScoreSettings
from seedbed.tables.reader import DeltaReader
from spark_jobs.quality import scorers

BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", metavar="output=DIR")
    parser.add_argument(
        "--scorer", required=True, help="a folder written by megatron_train.train_scorer"
    )
    parser.add_argument("--contents", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    output = args.output.removeprefix("output=")
    rows = DeltaReader(output).sql(
        "SELECT text, language FROM contents ORDER BY content_sha256 LIMIT ?", [2 * args.contents]
    )
    settings = scorers.resolve(ScoreSettings(scorer=args.scorer, batch_size=BATCH), output)
    ours: Any = scorers.load(settings, scorers.version_of(settings))
    first = {
        tuple(window): row for row in reversed(rows) for window in ours.windows_of(row["text"])
    }
    print(
        f"{len(rows)} contents have {len(first)} windows that differ; "
        "the others are not scored twice"
    )
    chosen = sorted(first.items(), key=lambda item: len(item[0]))[
        :: max(len(first) // args.contents, 1)
    ][: args.contents]
    ids = [list(window) for window, _ in chosen]
    texts, languages = (
        pa.array([row["text"] for _, row in chosen]),
        [row["language"] for _, row in chosen],
    )
    ways: dict[str, Callable[[], object]] = {
        "seedbed, from text": lambda: ours.score(texts, languages),
        "vLLM alone, from ids": lambda: plain_vllm(
            ours._engine(), [TokensPrompt(prompt_token_ids=one) for one in ids]
        ),
        "vLLM alone, from text": lambda: plain_vllm(
            ours._engine(), texts.to_pylist(), ours.max_tokens
        ),
        **{f"transformers, batch {n}": transformers_way(args.scorer, ids, n) for n in (16, BATCH)},
    }
    for way in ways.values():
        way()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, way in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            way()
            seconds[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    print(
        f"{len(ids)} prompts, {sum(map(len, ids)) / len(ids):.0f} tokens each, "
        f"scorer {ours.version}"
    )
    print(
        f"{'':<26}{'prompts/CPU-s':>14}{'prompts/s':>11}   "
        "seedbed is so many times as fast: CPU, wall"
    )
    for name, spent in seconds.items():
        cpu, wall = (len(ids) / statistics.median(one[k] for one in spent) for k in (0, 1))
        ratios = (
            statistics.median(
                o[k] / s[k] for o, s in zip(spent, seconds["seedbed, from text"], strict=True)
            )
            for k in (0, 1)
        )
        print(
            f"{name:<26}{cpu:>14.1f}{wall:>11.1f}   "
            + ", ".join(f"{ratio:.3f}" for ratio in ratios)
        )
    student_share(output, ours, texts, languages, settings)


def plain_vllm(engine: Any, prompts: list[Any], cut: int = 0) -> None:
    how = (
        {
            "tokenization_kwargs": {
                "truncation": True,
                "max_length": cut,
                "add_special_tokens": False,
            }
        }
        if cut
        else {}
    )
    engine.classify(
        prompts, pooling_params=PoolingParams(use_activation=False), use_tqdm=False, **how
    )


def transformers_way(folder: str, ids: list[list[int]], batch: int) -> Callable[[], None]:
    import torch
    from transformers import LlamaForSequenceClassification

    torch.set_num_threads(1)
    model = LlamaForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    pad = model.config.pad_token_id or 0

    def run() -> None:
        with torch.inference_mode():
            for i in range(0, len(ids), batch):
                part = ids[i : i + batch]
                width = max(map(len, part))
                tokens = torch.tensor([one + [pad] * (width - len(one)) for one in part])
                mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in part])
                model(input_ids=tokens, attention_mask=mask, use_cache=False)

    return run


def student_share(
    output: str, teacher: Any, texts: pa.Array, languages: list[Any], settings: ScoreSettings
) -> None:
    """Print the share that a structural first pass would spare the model.

    Also print how often the two agree about the lowest tenth.
    """
    structural = scorers.resolve(ScoreSettings(), output)
    # The cache of `load` has room for one scorer, and that is the engine.
    student = scorers.load.__wrapped__(
        structural,
        scorers.version_of(structural),
    )
    small, large = student.score(texts, languages), teacher.score(texts, languages)
    spared = small < settings.student_below
    count = len(texts) // 10
    low = np.zeros((2, len(texts)), bool)
    for row, quality in zip(low, (np.where(spared, small, large), large), strict=True):
        row[np.argsort(quality, kind="stable")[:count]] = True
    print(f"student {student.version}: {spared.mean():.0%} spared below {settings.student_below:g}")
    print(
        "lowest tenth by the model alone, also lowest with the student: "
        f"{(low[0] & low[1]).sum() / count:.0%}"
    )


if __name__ == "__main__":
    main()
