"""TRL's GRPOTrainer, for benchmarks/post_training.py.

    PYTHON benchmarks/trl_peer.py < request.json > reply.json

PYTHON is an interpreter with TRL and without this project. A request is {"model", "prompts",
"steps", "samples", "micro_batch", "max_response", "temperature", "lr", "end_id"}. The reply is
{"seconds": [wall seconds of each step], "cpu": [CPU seconds of each]}. The reward is the number
of different characters, which costs nothing.
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
    def __init__(self):
        self.wall, self.cpu = [], []

    def on_step_begin(self, *_, **__):
        self.began = time.perf_counter(), time.process_time()

    def on_step_end(self, *_, **__):
        self.wall.append(time.perf_counter() - self.began[0])
        self.cpu.append(time.process_time() - self.began[1])


def main():
    reply = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    request = json.load(sys.stdin)
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
            beta=0.0,
            loss_type="dapo",
            epsilon=0.2,
            epsilon_high=0.28,
            mask_truncated_completions=True,
            generation_kwargs={"eos_token_id": request["end_id"]},
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            save_strategy="no",
            report_to=[],
            logging_steps=1000,
            disable_tqdm=True,
        )
        clock = Clock()
        trainer = GRPOTrainer(
            model=request["model"],
            reward_funcs=lambda completions, **_: [float(len(set(text))) for text in completions],
            args=args,
            train_dataset=Dataset.from_dict({"prompt": request["prompts"]}),
            processing_class=AutoTokenizer.from_pretrained(request["model"], padding_side="left"),
            callbacks=[clock],
        )
        trainer.train()
    json.dump({"seconds": clock.wall, "cpu": clock.cpu}, reply)
    reply.close()


if __name__ == "__main__":
    main()
