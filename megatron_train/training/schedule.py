"""The learning rate as a pure function of the step, so that nothing has to be saved."""

from __future__ import annotations

from conf.schema.pretrain import OptimConfig, ScheduleConfig


def learning_rate(step: int, optim: OptimConfig, schedule: ScheduleConfig) -> float:
    """The rate of step `step`, counted from 0.

    It rises linearly to lr, stays there, and decays to min_lr over the last decay_steps. WSD is
    from MiniCPM (arXiv 2404.06395 Sec 4), the decay shape 1 - sqrt(t) from arXiv 2405.18392 Sec 4.
    """
    if step < schedule.warmup_steps:
        return optim.lr * (step + 1) / schedule.warmup_steps
    into_decay = step + 1 - (schedule.steps - schedule.decay_steps)
    if schedule.decay_steps == 0 or into_decay <= 0:
        return optim.lr
    t = min(into_decay / schedule.decay_steps, 1.0)
    left = 1.0 - t**0.5 if schedule.shape == "1-sqrt" else 1.0 - t
    return optim.min_lr + (optim.lr - optim.min_lr) * left
