"""A GRPO step against TRL's, where its time goes, and packed against unpacked SFT: one process and
one thread each.

    python -m benchmarks.post_training --output runs/demo [--trl PYTHON] [--sft-only]
        [--steps 5] [--prompts 8] [--samples 8]

Same model (the run's DIR/rl/sft/hf), prompts, group size, response length, micro-batch, temperature
and fp32 for both. Ours samples with vLLM, judges in the sandbox, and proves after each step that
the engine has the new weights; TRL samples with transformers and its reward costs nothing. TRL
trains on all samples, ours on groups with signal. The two runs follow each other, so figures of
GRPO need a quiet machine; those of SFT are CPU seconds of interleaved steps. PYTHON: an interpreter
with TRL. The first step of each is left out. benchmarks/sandbox.py has the sandbox's own figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conf.schema.pretrain import OptimConfig, ParallelConfig
from megatron_train.checkpoint import hf_config, hf_import
from megatron_train.parallel import processes
from megatron_train.training.step import Batch, build, train_step
from rl.problems import problem_set
from rl.sft import demonstrations, loss
from rl.training.batches import Example, ProcessShare, micro_batches, packed_batches, sample_indices
from seedbed import jsonl
from seedbed.inference.chat import Chat

LENGTH = {"max_prompt": 96, "max_response": 32}
MICRO_BATCH, TEMPERATURE, RATE = 16, 1.0, 3e-4
# Tokens of the longest demonstration, and demonstrations per step.
SFT_LENGTH, SFT_BATCH = 256, 32
Cut = Callable[[list[Example]], list[Batch]]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.post_training", description=__doc__)
    parser.add_argument(
        "--output", default="runs/demo", type=Path, help="a run that went through SFT"
    )
    parser.add_argument("--trl", metavar="PYTHON", help="interpreter with TRL")
    parser.add_argument("--steps", type=int, default=5, help="that count")
    parser.add_argument("--prompts", type=int, default=8, help="a step")
    parser.add_argument("--samples", type=int, default=8, help="a prompt")
    parser.add_argument("--sft-only", action="store_true")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        if not args.sft_only:
            ours = our_grpo(args, Path(scratch))
            if args.trl:
                seconds = trl_grpo(args)[1:]
                theirs = statistics.median(seconds)
                print(
                    f"TRL's GRPOTrainer       {theirs:7.2f} s per step; "
                    f"ours takes {ours / theirs:.2f} of it"
                )
        our_sft(args, Path(scratch))


def our_grpo(args: argparse.Namespace, scratch: Path) -> float:
    """Median seconds of a step; prints the parts."""
    sft = args.output / "rl"
    (scratch / "one.jsonl").write_text(
        (sft / "problems_heldout.jsonl").read_text().splitlines()[0] + "\n"
    )
    settings = {**LENGTH, "steps": args.steps + 1, "prompts": args.prompts, "samples": args.samples}
    settings |= {
        "temperature": TEMPERATURE,
        "micro_batch": MICRO_BATCH,
        "eval_samples": 1,
        "save_every": 1000,
    }
    settings |= {"base": sft / "sft/hf", "train_problems": sft / "problems_train.jsonl"}
    settings |= {"heldout_problems": scratch / "one.jsonl", "warmup_steps": 0, "output": scratch}
    run("rl.grpo", settings)
    rows = read(scratch / "rl/grpo/metrics.jsonl")[2:]
    parts = {
        name: [row["seconds"][name] for row in rows]
        for name in ("rollout", "reward", "train", "sync")
    }
    totals = [sum(values) for values in zip(*parts.values(), strict=True)]
    shares = ", ".join(f"{name} {sum(values) / sum(totals):.0%}" for name, values in parts.items())
    trained = statistics.mean(row["samples_trained"] for row in rows)
    sampled = args.prompts * args.samples
    print(
        f"our GRPO                {statistics.median(totals):7.2f} s per step of {sampled} samples "
        f"({shares})"
    )
    print(
        f"    of {sampled} samples {trained:.0f} train; "
        f"{statistics.mean(r['response_tokens'] for r in rows):.0f} tokens each"
    )
    return statistics.median(totals)


def trl_grpo(args: argparse.Namespace) -> list[float]:
    """Seconds of each step."""
    model = args.output / "rl/sft/hf"
    chat, rows = Chat(model), problem_set.read(args.output / "rl/problems_train.jsonl")
    steps = args.steps + 1
    wanted = [rows[i % len(rows)].prompt for i in range(steps * args.prompts)]
    request = {
        "model": str(model.resolve()),
        "prompts": [chat.text(prompt) for prompt in wanted],
        "steps": steps,
        "samples": args.samples,
        "micro_batch": MICRO_BATCH,
        "max_response": LENGTH["max_response"],
        "temperature": TEMPERATURE,
        "lr": RATE,
        "end_id": chat.end_id,
        "threads": 1,
        "given": False,
    }
    command = [args.trl, str(Path(__file__).with_name("trl_peer.py"))]
    done = subprocess.run(
        command, input=json.dumps(request), stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)["seconds"]


def our_sft(args: argparse.Namespace, scratch: Path) -> None:
    """Packed and unpacked steps in turn, in CPU seconds: on the run's demonstrations, which are of
    one length, and on some made longer. Both have a state of their own and take the same
    demonstrations.
    """
    processes.start(ParallelConfig(), seed=1)
    base = args.output / "hf"
    chat = Chat(base)
    share = ProcessShare.everything(ParallelConfig(), chat.end_id)
    for kind, folder in (
        ("short", args.output / "rl"),
        ("of many lengths", mixed_lengths(args.output / "rl", scratch)),
    ):
        some = demonstrations(problem_set.read(folder / "problems_train.jsonl"), chat, SFT_LENGTH)
        cuts: dict[str, Cut] = {
            "unpacked": lambda examples: micro_batches(examples, 8, share),
            "packed": lambda examples: packed_batches(examples, 1, share, 2 * SFT_LENGTH),
        }
        model, vocab_size = hf_config.model_config(base)
        states = {
            name: build(model, vocab_size, ParallelConfig(), OptimConfig(lr=RATE), "fp32", 1)
            for name in cuts
        }
        for state in states.values():
            hf_import.load_weights(state, base)
        speeds: dict[str, list[float]] = {name: [] for name in cuts}
        for number in range(args.steps + 1):
            examples = [
                some[i] for i in sample_indices(len(some), number * SFT_BATCH, SFT_BATCH, 1)
            ]
            for name, cut in cuts.items():
                began = time.process_time()
                result = train_step(states[name], cut(examples), loss, RATE)
                speeds[name].append(result.tokens / (time.process_time() - began))
        each = ", ".join(
            f"{name} {statistics.median(found[1:]):.0f}" for name, found in speeds.items()
        )
        ratios = [
            packed / unpacked
            for unpacked, packed in zip(*(found[1:] for found in speeds.values()), strict=True)
        ]
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        print(
            f"SFT, demonstrations {kind}, response tokens per CPU second: {each}; "
            f"packed is {middle:.2f} times as fast "
            f"({low:.2f} to {high:.2f} a step)"
        )
    processes.stop()


def mixed_lengths(run_of_sft: Path, scratch: Path) -> Path:
    """Folder of the training problems anew, one program in five with the four before it in front:
    the last definition counts.
    """
    rows = read(run_of_sft / "problems_train.jsonl")
    for i in range(4, len(rows), 5):
        rows[i]["code"] = "\n\n\n".join(row["code"] for row in rows[i - 4 : i + 1])
    jsonl.write(scratch / "problems_train.jsonl", rows)
    return scratch


def run(module: str, settings: dict[str, Any]) -> None:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "1",
        "-m",
        module,
    ]
    subprocess.run(
        [*command, *(f"{name}={value}" for name, value in settings.items())],
        check=True,
        stdout=sys.stderr,
    )


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    main(sys.argv[1:])
