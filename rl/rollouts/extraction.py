"""The program in a reply. Pure.

Training, distillation, evaluation, rescoring and synthesis all take it from here, so that one text
holds one program wherever it is judged.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from rl.rollouts.blocks import Block, blocks
from rl.rollouts.python_text import LARGEST, PythonText, Reader, dedented, looks_like_code
from seedbed.inference import thoughts
from seedbed.sandbox.prompted import joined

_ANSWER_MARKS = re.compile(r"\[ANSWER\](.*?)(?:\[/ANSWER\]|\Z)", re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]{3,2000})`(?!`)")
_INLINES = 20
_TYPED = re.compile(r"[ \t]*(?:>>>|\.\.\.)(?: (.*))?$")
_ANSWER = re.compile(r"^[ \t]*<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.MULTILINE)


def extract_program(reply: str, names: Collection[str] = (), script: bool = False) -> str:
    """The program in a reply; "" where it holds none.

    names: what the tests call, where that is known. script: the program is run for what it prints.

    A reply that is Python as it stands is the program. Else the program is the last block that
    defines what the tests call. Where that is not known, it is the longest block that parses; of a
    script, the longest that reads its input and prints. Blocks that define what the chosen one
    lacks are put before or behind it, in their order. Blocks of another language, the output of a
    run and prose hold no program, and neither do thoughts, finished or not.
    """
    text = reply.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    reader = Reader()
    if program := _alone(text, reader):
        return program
    text = thoughts.outside(text)
    if not text.strip():
        return ""
    if len(text) > LARGEST:
        return text if looks_like_code(text) else ""
    if program := _alone(text, reader):
        return program
    region = _ANSWER.search(text)
    if region is not None and (found := _choose(blocks(region[1], reader), names, script)):
        return found
    found = blocks(text, reader)
    program = _choose(found, names, script)
    program = program or _last_resort(text, names, reader)
    if not program and all(block.kind == "prose" for block in found) and looks_like_code(text):
        # Code with an error in it and no fence around it.
        return text.lstrip("\n")
    return program


def quoted_answer(reply: str) -> str:
    """The answer in a reply that is asked for a value, and for no program.

    That is the last fenced block, or what stands between tags of an answer, or else the last line.
    """
    text = thoughts.outside(reply.replace("\r\n", "\n")).strip()
    region = _ANSWER.search(text) or _ANSWER_MARKS.search(text)
    text = region[1].strip() if region else text
    if len(text) > LARGEST:
        return text
    pieces = [block.text for block in blocks(text, Reader()) if block.kind != "prose"]
    if pieces:
        return pieces[-1].strip()
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    marked = _INLINE.fullmatch(lines[-1]) if lines else None
    return marked[1] if marked else (lines[-1] if lines else "")


def _alone(text: str, reader: Reader) -> str:
    """The text, where it is a program as it stands."""
    for whole in (text.lstrip("\n"), dedented(text)):
        source = reader.program(whole)
        if source is not None and source.without_words.strip() == source.text.strip():
            return source.text
    return ""


def _choose(found: Sequence[Block], names: Collection[str], script: bool) -> str:
    usable = [block for block in found if block.source and block.kind != "other"]
    if not usable:
        # A label may be wrong; what defines a function is no output and no command.
        usable = [block for block in found if block.source and block.source.defines]
    if not usable:
        return _broken(found)
    sources = [block.source for block in usable if block.source]
    chosen = _defining(sources, names)
    if not chosen and (script or (not names and not any(map(_defines_functions, sources)))):
        chosen = _scripts(sources)
    if not chosen:
        chosen = [_longest(sources)]
    parts = _with_what_they_lack(chosen, sources)
    return parts[0].text if len(parts) == 1 else joined([part.text for part in parts])


def _defining(sources: Sequence[PythonText], names: Collection[str]) -> list[PythonText]:
    """The last source that defines all that the tests call, or one for each of the names."""
    wanted = [name for name in names if any(name in source.defines for source in sources)]
    chosen: list[PythonText] = []
    for name in sorted(wanted):
        some = [source for source in sources if name in source.defines]
        some = [source for source in some if not source.is_stub(name)] or some
        if not any(name in source.defines for source in chosen):
            chosen.append(max(reversed(some), key=lambda s: len(s.defines.intersection(wanted))))
    return chosen


def _scripts(sources: Sequence[PythonText]) -> list[PythonText]:
    """The longest script that prints, rather one that reads its input; or the parts of one."""
    whole = [source for source in sources if source.acts and source.prints]
    reading = [source for source in whole if _reads(source, sources)]
    if whole:
        return [_longest(reading or whole)]
    together = any(source.prints for source in sources) and any(source.acts for source in sources)
    return list(sources) if together else []


def _reads(source: PythonText, others: Sequence[PythonText]) -> bool:
    return any(part.reads for part in _with_what_they_lack([source], others))


def _with_what_they_lack(
    chosen: Sequence[PythonText], sources: Sequence[PythonText]
) -> list[PythonText]:
    """The chosen sources and those that define what they lack, in the order of the reply."""
    taken = list(chosen)
    for _ in range(len(sources)):
        defined = frozenset[str]().union(*(source.defines for source in taken))
        lacking = frozenset[str]().union(*(source.lacks for source in taken)) - defined
        rest = [source for source in sources if not any(source is one for one in taken)]
        more = next((source for source in reversed(rest) if source.defines & lacking), None)
        if more is None:
            break
        taken.append(more)
    return [source for source in sources if any(source is one for one in taken)]


def _broken(found: Sequence[Block]) -> str:
    """The last block that is meant as code but does not parse."""
    return next((block.text for block in reversed(found) if block.is_code), "")


def _last_resort(text: str, names: Collection[str], reader: Reader) -> str:
    """A program in one line between backticks, or typed at Python's prompt."""
    lines = [_TYPED.match(line) for line in text.split("\n")]
    session = "".join(f"{line[1] or ''}\n" for line in lines if line)
    for piece in (*_INLINE.findall(text)[:_INLINES], session):
        source = reader.program(piece)
        if source and (source.defines & set(names) or (not names and _defines_functions(source))):
            return source.text
    return ""


def _longest(sources: Sequence[PythonText]) -> PythonText:
    return max(reversed(sources), key=lambda source: len(source.text.strip()))


def _defines_functions(source: PythonText) -> bool:
    return bool(re.search(r"^\s*(?:async\s+def|def|class)\s|\blambda\b", source.text, re.MULTILINE))
