"""verify_worker with one known silent fault put back, which SEEDBED_TEST_FAULT names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from megatron.core.optimizer import distrib_optimizer

from megatron_train.parallel import context_parallel, cpu_backend, verify_worker
from megatron_train.training import optimizer, step


def batched_sends() -> None:
    """megatron-core's default, which an interleaved pipeline of two stages cannot take."""
    original = step.transformer_config

    def config(*args):
        made = original(*args)
        made.overlap_p2p_comm, made.batch_p2p_comm = False, True
        return made

    step.transformer_config = config


def no_forks() -> None:
    """Forks of the generator do nothing, because torch queues CUDA generator calls."""
    cpu_backend._patch_rng_forks = lambda: None


def shared_adam_step() -> None:
    """After a load all parameters share one `step` tensor, and every update raises it."""
    original = optimizer._mend_distributed_adam

    def mend() -> None:
        cls = distrib_optimizer.DistributedOptimizer
        fresh = not getattr(cls, "_seedbed_mended", False)
        original()
        if not fresh:
            return
        load = cls.load_state_dict

        def load_state_dict(self, state_dict):
            result = load(self, state_dict)
            states = [state for state in self.optimizer.state.values() if "step" in state]
            for state in states:
                state["step"] = states[0]["step"]
            return result

        cls.load_state_dict = load_state_dict

    optimizer._mend_distributed_adam = mend


def mean_of_means() -> None:
    """Each context-parallel process divides by its own tokens."""
    original = verify_worker.language_model_loss

    def loss(logprobs, batch):
        total, count, sums = original(logprobs, batch)
        return total / count.clamp(min=1), torch.ones_like(count), sums

    verify_worker.language_model_loss = loss


def keys_of_another_order() -> None:
    """Gathered keys stay in the order of the processes, not of the sequence."""
    context_parallel._in_order = lambda held, dim: torch.cat(held, dim)


if __name__ == "__main__":
    globals()[os.environ["SEEDBED_TEST_FAULT"]]()
    verify_worker.main(Path(sys.argv[1]), int(sys.argv[2]))
