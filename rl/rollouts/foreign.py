"""The program in a reply in another language than Python. Pure.

Nothing here parses such a language, so the fences and their labels decide.
"""

from __future__ import annotations

from rl.rollouts.blocks import Block, blocks
from rl.rollouts.python_text import Reader
from seedbed.inference import markdown, thoughts
from seedbed.sandbox.languages import by_any_name


def extract_source(reply: str, language: str) -> str:
    """The program in a reply; "" where it holds none.

    language: a name of the sandbox's. The program is the longest block with the language's label,
    else the longest without a label. A reply without fences is the program, and one whose only
    fence closes is the program up to there.
    """
    text = thoughts.outside(reply.replace("\r\n", "\n").replace("\r", "\n"))
    found = [block for block in blocks(text, Reader()) if block.kind != "prose"]
    lines = text.split("\n")
    fences = [at for at, line in enumerate(lines) if markdown.opening(line)]
    if len(fences) == 1 and lines[fences[0]].strip() in ("```", "~~~"):
        before = "\n".join(lines[: fences[0]]) + "\n"
        return before if before.strip() else _longest(found)
    labelled = [block for block in found if _is_named(block.label, language)]
    if fences:
        return _longest(labelled or [block for block in found if not block.label])
    return text if text.strip() else ""


def _is_named(label: str, language: str) -> bool:
    """Whether what stands behind a fence names the language. It may be one that is not judged."""
    known = by_any_name(label)
    return label.lower() == language.lower() if known is None else known.name == language


def _longest(found: list[Block]) -> str:
    return max((block.text for block in reversed(found)), key=len, default="")


def whole_source(prompt: str, program: str) -> str:
    """The program for an answer to a prompt that begins one.

    An answer that repeats the prompt's last line, the head of its function, gives all of the
    function. What stands above that line in the prompt is put before it. Any other answer goes on
    with the prompt.
    """
    lines = prompt.rstrip().split("\n")
    if program.startswith(prompt) or not lines[-1].strip():
        return program if program.startswith(prompt) else prompt + program
    head = lines[-1].strip()
    at = program.find(head)
    if at < 0:
        return prompt + program
    above = [line for line in lines[:-1] if line.strip() and line.strip() not in program]
    return "\n".join([*above, program])
