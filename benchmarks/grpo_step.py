"""The training half of a GRPO step beside TRL's, on the same samples: no sampling, no judging.

    python -m benchmarks.grpo_step --output runs/demo --trl PYTHON
        [--steps 6] [--prompts 8] [--samples 8] [--micro-batch 16] [--threads 1] [--profile]

Transformers draws all samples beforehand from the run's DIR/rl/sft/hf, with the prompts of
DIR/rl/problems_train.jsonl. Both train on all of them: same model, micro-batch, temperature, fp32,
loss (DAPO's token mean, clip 0.2 and 0.28) and AdamW; step N of ours runs between steps N and N + 1
of TRL's, and the first of each is left out. A step begins with the samples as token ids and ends
with the new weights. Ours also weighs tokens by engine and trainer (max_importance), and TRL's
computes the entropy of its metrics. The printed gradient norms of the first step show that the work
is the same. PYTHON: an interpreter with TRL. benchmarks/post_training.py has the whole step.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from conf.schema.pretrain import OptimConfig, ParallelConfig
from conf.schema.rl import GrpoConfig
from megatron_train.checkpoint import hf_config, hf_import
from megatron_train.parallel import processes
from megatron_train.training.step import TrainState, build
from rl.problems import problem_set
from rl.training.batches import Example
from rl.training.objective import group_advantages
from rl.training.policy_step import policy_step
from seedbed.inference.chat import Chat

MAX_RESPONSE, TEMPERATURE, RATE = 32, 1.0, 3e-4
Step = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.grpo_step", description=__doc__)
    parser.add_argument("--output", default="runs/demo", type=Path, help="a run with SFT")
    parser.add_argument("--trl", metavar="PYTHON", help="interpreter with TRL")
    parser.add_argument("--steps", type=int, default=6, help="that count")
    parser.add_argument("--prompts", type=int, default=8, help="a step")
    parser.add_argument("--samples", type=int, default=8, help="a prompt")
    parser.add_argument("--micro-batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="print where our time goes")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, chat = args.output / "rl/sft/hf", Chat(args.output / "rl/sft/hf")
    rows = problem_set.read(args.output / "rl/problems_train.jsonl")
    texts = [rows[i % len(rows)].prompt for i in range((args.steps + 1) * args.prompts)]
    steps = drawn(model, chat, texts, args)
    tokens = [len(ids) for step in steps for ids in step["completion_ids"]]
    heads = [len(ids) for step in steps for ids in step["prompt_ids"]]
    print(
        f"{args.prompts} prompts x {args.samples} samples a step; means: {mean(heads):.1f} prompt "
        f"tokens, {mean(tokens):.1f} response tokens; {args.threads} threads each"
    )
    peer = started(args, model, [chat.text(text) for text in texts], chat.end_id)
    try:
        compare(args, model, chat, steps, peer)
    finally:
        if peer is not None:
            peer.kill()
        processes.stop()


def drawn(model: Path, chat: Chat, texts: Sequence[str], args: argparse.Namespace) -> list[Step]:
    """The samples of each step, in TRL's form: one row per sample, those of a prompt together."""
    policy = AutoModelForCausalLM.from_pretrained(model).eval()
    torch.manual_seed(1)
    rng = random.Random(1)
    steps: list[Step] = []
    for start in range(0, len(texts), args.prompts):
        step: Step = {"prompt_ids": [], "completion_ids": [], "logprobs": [], "reward": []}
        for text in texts[start : start + args.prompts]:
            prompt = chat.prompt(text)
            found = policy.generate(
                torch.tensor([prompt] * args.samples),
                do_sample=True,
                temperature=TEMPERATURE,
                top_k=0,
                max_new_tokens=MAX_RESPONSE,
                eos_token_id=chat.end_id,
                output_logits=True,
                return_dict_in_generate=True,
            )
            logprobs = torch.stack(found.logits, 1).div(TEMPERATURE).log_softmax(-1)
            responses = found.sequences[:, len(prompt) :]
            chosen = logprobs.gather(-1, responses[..., None])[..., 0]
            for ids, each in zip(responses.tolist(), chosen.tolist(), strict=True):
                length = ids.index(chat.end_id) + 1 if chat.end_id in ids else len(ids)
                step["prompt_ids"].append(prompt)
                step["completion_ids"].append(ids[:length])
                step["logprobs"].append(each[:length])
                step["reward"].append(rng.random())
        steps.append(step)
    return steps


def started(
    args: argparse.Namespace, model: Path, prompts: Sequence[str], end_id: int
) -> subprocess.Popen[str] | None:
    """TRL's process, which waits for the samples of its first step."""
    if not args.trl:
        return None
    request = {"model": str(model.resolve()), "prompts": prompts, "steps": args.steps + 1}
    request |= {"samples": args.samples, "micro_batch": args.micro_batch}
    request |= {"max_response": MAX_RESPONSE, "temperature": TEMPERATURE, "lr": RATE}
    request |= {"end_id": end_id, "threads": args.threads, "given": True}
    command = [args.trl, str(Path(__file__).with_name("trl_peer.py"))]
    peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    told(peer, request)
    return peer


def told(peer: subprocess.Popen[str], line: Step) -> None:
    assert peer.stdin is not None
    peer.stdin.write(json.dumps(line) + "\n")
    peer.stdin.flush()


def answer(peer: subprocess.Popen[str]) -> Step:
    assert peer.stdout is not None
    return json.loads(peer.stdout.readline())


def compare(
    args: argparse.Namespace,
    model: Path,
    chat: Chat,
    steps: Sequence[Step],
    peer: subprocess.Popen[str] | None,
) -> None:
    layout = ParallelConfig()
    processes.start(layout, 1)
    shape, vocab_size = hf_config.model_config(model)
    state = build(shape, vocab_size, layout, OptimConfig(lr=RATE, weight_decay=0.0), "fp32", 1)
    hf_import.load_weights(state, model)
    cfg = GrpoConfig(
        samples=args.samples,
        max_response=MAX_RESPONSE,
        temperature=TEMPERATURE,
        micro_batch=args.micro_batch,
    )
    found: dict[str, list[tuple[float, float]]] = {"TRL": [], "ours": []}
    norms = []
    for step in steps:
        if peer is not None:
            told(peer, step)
            seconds = answer(peer)
            found["TRL"].append((seconds["wall"], seconds["cpu"]))
        began = time.perf_counter(), time.process_time()
        norms.append(trained(cfg, state, step, chat.end_id))
        wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
        found["ours"].append((wall, cpu))
    for name, seconds in found.items():
        for what, each in zip(("wall", "CPU"), zip(*seconds[1:], strict=True), strict=False):
            told_of = " ".join(f"{one:.3f}" for one in each)
            print(f"{name:5} {what:4} seconds: best {min(each):.3f}; each {told_of}")
    if peer is not None:
        ours, theirs = (
            [min(each) for each in zip(*found[name][1:], strict=True)] for name in ("ours", "TRL")
        )
        print(
            f"ours takes {ours[0] / theirs[0]:.2f} of TRL's wall and {ours[1] / theirs[1]:.2f} of "
            "its CPU seconds, best step against best step"
        )
        print(f"first gradient norm: ours {norms[0]:.5f}, TRL {answer(peer)['grad_norm'][0]:.5f}")
    if args.profile:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            for step in steps[:3]:
                trained(cfg, state, step, chat.end_id)
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))


def trained(cfg: GrpoConfig, state: TrainState, step: Step, end_id: int) -> float:
    """One optimizer step of ours on all samples; the gradient's norm."""
    rewards = torch.tensor(step["reward"]).view(-1, cfg.samples)
    advantages = group_advantages(rewards, torch.ones_like(rewards, dtype=torch.bool)).flatten()
    rows = zip(
        step["prompt_ids"],
        step["completion_ids"],
        advantages.tolist(),
        step["logprobs"],
        strict=True,
    )
    examples = [Example(p, r, {"advantage": a}, {"engine_logprobs": b}) for p, r, a, b in rows]
    return policy_step(cfg, state, examples, end_id, RATE).grad_norm


def mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
