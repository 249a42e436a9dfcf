"""Reward functions as a user might write them, good and bad."""

from __future__ import annotations

import math
import os
import sys
import time
from contextlib import suppress
from pathlib import Path


def of_length(sample: dict) -> float:
    """It prints, too, which must not reach the channel."""
    print("a print of the user's")
    return sample["tokens"] / 10 + (sample["verdict"] == "pass")


def moody(sample: dict) -> float:
    what = sample["completion"]
    if what == "raise":
        raise ValueError("of mine")
    if what == "index":
        return [0.5][1]
    if what == "exit":
        sys.exit(3)
    if what == "die":
        os._exit(7)
    if what == "half":
        # The beginning of an answer, on whatever descriptor the channel is.
        for number in range(3, 64):
            with suppress(OSError):
                os.write(number, b'{"value": 9, "')
        os._exit(9)
    if what == "sleep":
        time.sleep(60)
    if what == "text":
        return "three"  # type: ignore[return-value]
    return math.nan if what == "nan" else 0.25


def late(sample: dict) -> float:
    """It outlasts a short limit, and leaves a file where it is let go on."""
    time.sleep(3)
    Path(sample["completion"]).touch()
    return 1.0


number = 3


def of_all_letters(sample: dict) -> float:
    """It differs wherever two samples do, but for one pair in seven."""
    return sum(map(ord, sample["completion"])) % 7 / 7


def of_first_letter(sample: dict) -> float:
    """It differs among samples of an untrained model, but for every second problem."""
    if sum(map(ord, sample["task_id"])) % 2:
        return 0.0
    return ord(sample["completion"][:1] or "a") % 7 / 7
