"""Responses that think before they answer. Pure.

Their form is <think>, the chain of thought, </think>, the answer. The tags are those of
DeepSeek-R1, whose responses the report trains on (Sec 3.2). Its chat template may open the thought
itself, so a response may begin inside the thought.
"""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


def answer_of(response: str) -> str:
    """What follows the chain of thought.

    That is all of a response without a thought, and "" where the thought does not end.
    """
    if CLOSE in response:
        return response.rpartition(CLOSE)[2]
    return "" if OPEN in response else response


def normalised(response: str) -> str:
    """The response with both tags, each on a line of its own.

    Raises:
        ValueError: saying why, where the response is not one thought and an answer.
    """
    text = response.strip().removeprefix(OPEN)
    thought, tag, answer = text.partition(CLOSE)
    if not tag:
        raise ValueError(f"no {CLOSE}")
    if not thought.strip() or not answer.strip():
        raise ValueError("an empty thought" if answer.strip() else f"nothing after {CLOSE}")
    if OPEN in thought or OPEN in answer or CLOSE in answer:
        raise ValueError(f"more than one {OPEN} or {CLOSE}")
    return f"{OPEN}\n{thought.strip()}\n{CLOSE}\n\n{answer.strip()}"
