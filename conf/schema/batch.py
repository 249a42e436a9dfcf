"""The batch of pretraining, which may grow at the start of a run.

A ramp is Megatron-LM's `--rampup-batch-size START INCREMENT SAMPLES`. The batch begins at START
sequences and grows by INCREMENT, (total - START) / INCREMENT times, at equal distances over the
first SAMPLES samples. Counting is exact and needs no state: every answer follows from the step.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.layout import BatchConfig
from conf.schema.ranges import CountOrNone

# A ramp of more sizes than this is a slip of the pen.
_MOST_SIZES = 10_000


@dataclass(frozen=True)
class RampConfig:
    """Growth of the batch. All three are 0 (no ramp), or none is."""

    # Sequences of the first step.
    start: CountOrNone = 0
    # Sequences that each growth adds.
    increment: CountOrNone = 0
    # Samples over which the batch grows.
    samples: CountOrNone = 0


@dataclass(frozen=True)
class RampedBatchConfig(BatchConfig):
    """Batch sizes, and how the batch of a step grows to `total`."""

    ramp: RampConfig = field(default_factory=RampConfig)

    def check(self) -> None:
        super().check()
        ramp = self.ramp
        if ramp == RampConfig():
            return
        for name in ("start", "increment", "samples"):
            if not getattr(ramp, name):
                raise SeedbedError(
                    f"batch.ramp.{name}=0 leaves the ramp open",
                    "set start, increment and samples of batch.ramp, or none of them",
                )
        if ramp.start >= self.total:
            raise SeedbedError(
                f"batch.ramp.start={ramp.start} must lie below batch.total={self.total}",
                "lower batch.ramp.start, or leave batch.ramp out",
            )
        growth = self.total - ramp.start
        if growth % ramp.increment:
            raise SeedbedError(
                "batch.total - batch.ramp.start must divide by batch.ramp.increment: "
                f"({self.total} - {ramp.start}) % {ramp.increment} = {growth % ramp.increment}",
                "change batch.ramp.increment",
            )
        if growth // ramp.increment > _MOST_SIZES:
            raise SeedbedError(
                f"batch.ramp has {growth // ramp.increment:,} sizes, more than {_MOST_SIZES:,}",
                "raise batch.ramp.increment",
            )
        for name, value in self.sizes().items():
            if value % self.micro:
                raise SeedbedError(
                    f"{name} must divide by batch.micro: {value} % {self.micro} = "
                    f"{value % self.micro}",
                    f"choose {name} as a multiple of {self.micro}",
                )

    def sizes(self) -> dict[str, int]:
        ramp = self.ramp
        if ramp == RampConfig():
            return super().sizes()
        return super().sizes() | {
            "batch.ramp.start": ramp.start,
            "batch.ramp.increment": ramp.increment,
        }

    def samples(self, steps: int) -> int:
        """The samples of the first `steps` steps."""
        size, step, sample = next(one for one in reversed(_stretches(self)) if one[1] <= steps)
        return sample + (steps - step) * size

    def size(self, step: int) -> int:
        """The samples of step `step`, counted from 0."""
        return next(size for size, first, _ in reversed(_stretches(self)) if first <= step)

    def step_of(self, sample: int) -> int:
        """The step, counted from 0, that reads sample `sample`, counted from 0."""
        size, step, first = next(one for one in reversed(_stretches(self)) if one[2] <= sample)
        return step + (sample - first) // size

    def steps_for(self, samples: int) -> int:
        """The fewest steps that read `samples` samples or more."""
        return self.step_of(samples - 1) + 1 if samples else 0


@functools.cache
def _stretches(batch: RampedBatchConfig) -> tuple[tuple[int, int, int], ...]:
    """(size, first step, first sample) of every stretch of steps with one batch size.

    After c samples the ramp has grown c * growths // samples times. A step that begins before a
    growth keeps its size, so a stretch may be longer than its share of the samples.
    """
    ramp = batch.ramp
    found: list[tuple[int, int, int]] = []
    step = sample = 0
    growths = (batch.total - ramp.start) // ramp.increment if ramp.increment else 0
    while sample < ramp.samples:
        grown = sample * growths // ramp.samples
        size = ramp.start + grown * ramp.increment
        found.append((size, step, sample))
        # The first sample at which the ramp has grown once more.
        border = -(-(grown + 1) * ramp.samples // growths)
        steps = -(-(border - sample) // size)
        step, sample = step + steps, sample + steps * size
    return (*found, (batch.total, step, sample))
