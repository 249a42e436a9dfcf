"""Responses that think before they answer. Pure.

Their form is <think>, the chain of thought, </think>, the answer. The tags are those of
DeepSeek-R1, whose responses the report trains on (Sec 3.2). Its chat template may open the thought
itself, so a response may begin inside the thought.
"""

from __future__ import annotations

from seedbed.inference import thoughts
from seedbed.inference.thoughts import CLOSE, OPEN


def answer_of(response: str) -> str:
    """What is no thought of a response.

    That is all of a response without a thought, and "" where the thought does not end.
    """
    return thoughts.outside(response)


def normalised(response: str) -> str:
    """The response with both tags, each once and on a line of its own.

    A tag that comes twice in a row counts once: some servers and templates give it, and the model
    again.

    Raises:
        ValueError: saying why, where the response is not one thought and an answer, or quotes a tag
            besides. A model that learnt it would end its thoughts anywhere.
    """
    text = response.strip()
    # A sentence or a program may name a tag where nothing was thought.
    if not thoughts.tags(text):
        raise ValueError(f"no {CLOSE}")
    while text.startswith(OPEN):
        text = text.removeprefix(OPEN).lstrip()
    thought, tag, answer = text.partition(CLOSE)
    if not tag:
        raise ValueError(f"no {CLOSE}")
    answer = answer.strip()
    while answer.startswith(CLOSE):
        answer = answer.removeprefix(CLOSE).lstrip()
    thought = thought.strip()
    if not thought or not answer:
        raise ValueError("an empty thought" if answer else f"nothing after {CLOSE}")
    if OPEN in thought or OPEN in answer or CLOSE in answer:
        raise ValueError(f"more than one {OPEN} or {CLOSE}")
    return f"{OPEN}\n{thought}\n{CLOSE}\n\n{answer}"
