"""A response that thinks before it answers: <think>, the chain of thought, </think>, the answer.
Pure.

The marks are those of DeepSeek-R1, whose responses the report learns from (Sec 3.2). Its chat
template may open the thought itself, so a response may begin inside it.
"""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


def answer_of(response: str) -> str:
    """What follows the chain of thought; all of a response without one, "" where the thought does
    not end.
    """
    if CLOSE in response:
        return response.rpartition(CLOSE)[2]
    return "" if OPEN in response else response


def normalised(response: str) -> str:
    """The response with both marks, each on a line of its own. Raises ValueError, saying why, where
    it is not one thought and an answer.
    """
    text = response.strip().removeprefix(OPEN)
    thought, mark, answer = text.partition(CLOSE)
    if not mark:
        raise ValueError(f"no {CLOSE}")
    if not thought.strip() or not answer.strip():
        raise ValueError("an empty thought" if answer.strip() else f"nothing after {CLOSE}")
    if OPEN in thought or OPEN in answer or CLOSE in answer:
        raise ValueError(f"more than one {OPEN} or {CLOSE}")
    return f"{OPEN}\n{thought.strip()}\n{CLOSE}\n\n{answer.strip()}"
