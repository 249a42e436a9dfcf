"""The learning rate as a pure function of the step, so that nothing has to be saved.

A resumed run therefore has the rates of an undisturbed one, whatever the schedule.
"""

from __future__ import annotations

import math

from conf.schema.batch import RampConfig, RampedBatchConfig
from conf.schema.pretrain import OptimConfig, ScheduleConfig


def learning_rate(
    step: int,
    optim: OptimConfig,
    schedule: ScheduleConfig,
    batch: RampedBatchConfig | None = None,
) -> float:
    """The rate of step `step`, counted from 0.

    It rises linearly to lr over warmup_steps. Then, with n = step + 1, w = warmup_steps, T = steps
    and d = decay_steps:

        wsd           lr until T - d, then min_lr + (lr - min_lr) left(t), t = (n - (T - d)) / d,
                      left = 1 - sqrt(t) (arXiv 2405.18392 Sec 4) or 1 - t
                      (WSD: MiniCPM, arXiv 2404.06395 Sec 4)
        cosine        min_lr + (lr - min_lr) (1 + cos(pi t)) / 2, t = (n - w) / (T - w)
                      (SGDR, arXiv 1608.03983 eq. 5, without restarts)
        linear        min_lr + (lr - min_lr) (1 - t), with the same t
        inverse-sqrt  lr sqrt(w / n), and at least min_lr (arXiv 1706.03762 eq. 3); it knows no T

    After step T - 1 the rate stays what it was, except under inverse-sqrt.

    With a ramp of the batch, all of these count samples: n is those of the first step + 1 steps, w
    those of the first warmup_steps, and so on. Megatron-LM schedules by samples, too.
    """
    samples = _steps if batch is None or batch.ramp == RampConfig() else batch.samples
    warmup, done, end = (
        samples(schedule.warmup_steps),
        samples(step + 1),
        samples(schedule.steps),
    )
    if step < schedule.warmup_steps:
        return optim.lr * done / warmup
    if schedule.kind == "inverse-sqrt":
        return max(optim.lr * math.sqrt(warmup / done), optim.min_lr)
    whole = schedule.kind != "wsd"
    stable = warmup if whole else samples(schedule.steps - schedule.decay_steps)
    decay, into_decay = end - stable, done - stable
    if decay == 0 or into_decay <= 0:
        return optim.lr
    left = _left(schedule.kind if whole else schedule.shape, min(into_decay / decay, 1.0))
    return optim.min_lr + (optim.lr - optim.min_lr) * left


def last_rate(
    optim: OptimConfig, schedule: ScheduleConfig, batch: RampedBatchConfig | None = None
) -> float:
    """The rate of the run's last step."""
    return learning_rate(schedule.steps - 1, optim, schedule, batch)


def _steps(steps: int) -> int:
    """Without a ramp, steps are counted."""
    return steps


def _left(shape: str, t: float) -> float:
    """The share of the decay that is still ahead at t of it, from 1 to 0."""
    if shape == "cosine":
        return (1.0 + math.cos(math.pi * t)) / 2.0
    return 1.0 - math.sqrt(t) if shape == "1-sqrt" else 1.0 - t
