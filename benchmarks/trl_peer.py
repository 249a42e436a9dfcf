"""TRL's GRPOTrainer, for benchmarks/post_training.py and benchmarks/grpo_step.py.

    PYTHON benchmarks/trl_peer.py

PYTHON is an interpreter with TRL and without this project. The first line of standard input is a
request {"model", "prompts", "steps", "samples", "micro_batch", "max_response", "temperature", "lr",
"end_id", "threads", "given"}. The last line of standard output is {"seconds": [wall seconds of each
step], "cpu": [CPU seconds of each], "grad_norm": [of each]}.

Without "given", TRL samples with transformers, and the reward is the number of different
characters, which costs nothing. With it, each step waits for a line {"prompt_ids",
"completion_ids", "logprobs", "reward"}, trains on these samples, and answers with a line {"wall",
"cpu"}: the seconds from the samples to the end of the step, in which TRL samples nothing.
"""

import json
import os
import sys
import tempfile
import time

import torch
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer


class Clock(TrainerCallback):
    def __init__(self, reply, given):
        self.reply, self.given = reply, given
        self.wall, self.cpu = [], []

    def begin(self):
        self.began = time.perf_counter(), time.process_time()

    def samples(self, _prompts, _trainer):
        """TRL's rollout_func: the samples of the next line, from which the step's time counts."""
        line = json.loads(sys.stdin.readline())
        self.begin()
        return line

    def on_step_begin(self, *_, **__):
        if not self.given:
            self.begin()

    def on_step_end(self, *_, **__):
        self.wall.append(time.perf_counter() - self.began[0])
        self.cpu.append(time.process_time() - self.began[1])
        if self.given:
            json.dump({"wall": self.wall[-1], "cpu": self.cpu[-1]}, self.reply)
            self.reply.write("\n")
            self.reply.flush()


def different_characters(completions, **_):
    return [float(len(set(text))) for text in completions]


def given_rewards(completions, reward, **_):
    return reward


def main():
    reply = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.readline())
    torch.set_num_threads(request["threads"])
    given = request["given"]
    sequences = len(request["prompts"]) // request["steps"] * request["samples"]
    with tempfile.TemporaryDirectory() as scratch:
        args = GRPOConfig(
            output_dir=scratch,
            max_steps=request["steps"],
            per_device_train_batch_size=request["micro_batch"],
            gradient_accumulation_steps=sequences // request["micro_batch"],
            num_generations=request["samples"],
            max_completion_length=request["max_response"],
            temperature=request["temperature"],
            learning_rate=request["lr"],
            lr_scheduler_type="constant",
            beta=0.0,
            loss_type="dapo",
            epsilon=0.2,
            epsilon_high=0.28,
            # Samples that are given all train, on both sides.
            mask_truncated_completions=not given,
            generation_kwargs={"eos_token_id": request["end_id"]},
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            save_strategy="no",
            report_to=[],
            logging_steps=1,
            disable_tqdm=True,
        )
        clock = Clock(reply, given)
        trainer = GRPOTrainer(
            model=request["model"],
            reward_funcs=given_rewards if given else different_characters,
            args=args,
            train_dataset=Dataset.from_dict({"prompt": request["prompts"]}),
            processing_class=AutoTokenizer.from_pretrained(request["model"], padding_side="left"),
            callbacks=[clock],
            rollout_func=clock.samples if given else None,
        )
        trainer.train()
        norms = [row["grad_norm"] for row in trainer.state.log_history if "grad_norm" in row]
    json.dump({"seconds": clock.wall, "cpu": clock.cpu, "grad_norm": norms}, reply)
    reply.write("\n")
    reply.close()


if __name__ == "__main__":
    main()
