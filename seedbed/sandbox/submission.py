"""What a jail receives of a job: one text, or all files of a project. Refuses what cannot run."""

from __future__ import annotations

import re

from seedbed.sandbox.verdict import (
    CallTests,
    Files,
    Job,
    Limits,
    ProjectTests,
    SourceTests,
    StdioTests,
    is_plain_path,
)

_CLASS = re.compile(r"^class +(\w+)", re.M)
# Files and folders of one program. Each takes an inode of the jail's small file system.
_PATH_PARTS = 1000


# Words of a program or of tests that ask for a place for temporary files.
_TEMPORARY = re.compile(r"\btempfile\b|/tmp\b")


class Refused(Exception):
    """The program cannot be handed to a jail. The message says why."""


def submission(job: Job, limits: Limits) -> str | Files:
    """The text of a program, or for a project its files on top of the problem's own.

    Raises Refused for a program that is too large, or whose files do not fit in one folder.
    """
    texts = [job.program] if isinstance(job.program, str) else [text for _, text in job.program]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    if size > limits.program_bytes:
        raise Refused(f"the program has {size:,} bytes; the limit is {limits.program_bytes:,}")
    if isinstance(job.tests, ProjectTests):
        return _project_files(job.program, job.tests)
    if isinstance(job.program, str):
        # What stands around a program is Python.
        if job.spoken != "python" or isinstance(job.tests, SourceTests):
            return job.program
        return _with_parts(job.program, job.tests)
    raise Refused("the program has several files, and the tests take one text")


# The program keeps its own line numbers, since each part is compiled by itself. What the parts
# are run by cannot be replaced by a part.
_IN_PARTS = (
    "(lambda run, make, space, parts: [run(make(text, name, 'exec', dont_inherit=True), space) "
    "for name, text in parts])(exec, compile, globals(), {parts!r})"
)


def _with_parts(program: str, tests: CallTests | StdioTests) -> str:
    """The program between the prelude and the adapter of its tests."""
    adapter = tests.adapter if isinstance(tests, CallTests) else ""
    if not tests.prelude and not adapter:
        return program
    own = ("<program>", program)
    if isinstance(tests, CallTests) and tests.quoted:
        own = ("<answer>", f"_answer_text = {program!r}")
    parts = (("<prelude>", tests.prelude), own, ("<adapter>", adapter))
    return _IN_PARTS.format(parts=parts)


def wants_files(program: str | Files, *texts: str) -> bool:
    """Whether a program, or a text of its tests, means to write temporary files."""
    own = [program] if isinstance(program, str) else [text for _, text in program]
    return any(_TEMPORARY.search(text) for text in (*own, *texts))


def _project_files(program: str | Files, tests: ProjectTests) -> Files:
    own = ((tests.target, program),) if isinstance(program, str) else program
    files = {**dict(tests.given), **dict(own)}
    for path in files:
        if not is_plain_path(path):
            raise Refused(f"the program has a file {path!r:.100}, not a plain relative path")
        if any(parent in files for parent in _parents(path)):
            raise Refused(f"the program has a file {path!r:.100} below another file")
    if sum(path.count("/") + 1 for path in files) > _PATH_PARTS:
        raise Refused(f"the program has more than {_PATH_PARTS} files and folders")
    return tuple(files.items())


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def named_classes(job: Job) -> tuple[str, ...] | None:
    """The classes that a problem's own solution defines; None where it has none."""
    if not isinstance(job.reference, str) or not job.reference:
        return None
    return tuple(_CLASS.findall(job.reference))


def texts_of(tests: CallTests | ProjectTests) -> list[str]:
    if isinstance(tests, CallTests):
        return [tests.setup, tests.code]
    return [text for _, text in tests.files]


def answer_bytes(tests: CallTests | ProjectTests, limits: Limits) -> int:
    """Bytes of one answer. Tests that spell out a long answer may get one as long."""
    return max(limits.output_bytes, sum(map(len, texts_of(tests))))
