"""Environments as a user might write them, good and bad."""

from __future__ import annotations

import os
import time


def patient(episode: dict) -> str | None:
    """Ends after two answers, or with a program that passes."""
    last = episode["turns"][-1]
    print("a print of the user's")
    if len(episode["turns"]) == 2 or last["verdict"] == "pass":
        return None
    return f"{episode['task_id']}: {last['verdict']} of {last['program']!r}; once more"


def moody(episode: dict) -> str:
    what = episode["turns"][-1]["completion"]
    if what == "die":
        os._exit(7)
    if what == "sleep":
        time.sleep(60)
    if what == "raise":
        raise ValueError("of mine")
    return 3 if what == "number" else "go on"  # type: ignore[return-value]
