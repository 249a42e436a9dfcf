"""Reward functions as a user might write them, good and bad."""

from __future__ import annotations

import math
import os
import sys
import time


def of_length(sample: dict) -> float:
    """It prints, too, which must not reach the channel."""
    print("a print of the user's")
    return sample["tokens"] / 10 + (sample["verdict"] == "pass")


def moody(sample: dict) -> float:
    what = sample["completion"]
    if what == "raise":
        raise ValueError("of mine")
    if what == "exit":
        sys.exit(3)
    if what == "die":
        os._exit(7)
    if what == "sleep":
        time.sleep(60)
    if what == "text":
        return "three"  # type: ignore[return-value]
    return math.nan if what == "nan" else 0.25


number = 3


def of_first_letter(sample: dict) -> float:
    """It differs among samples of an untrained model, but for every second problem."""
    if sum(map(ord, sample["task_id"])) % 2:
        return 0.0
    return ord(sample["completion"][:1] or "a") % 7 / 7
