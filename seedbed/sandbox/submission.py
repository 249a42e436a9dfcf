"""What a jail receives of a job: one text, or all files of a project. Refuses what cannot run."""

from __future__ import annotations

import re

from seedbed.sandbox.verdict import Files, Job, Limits, ProjectTests, is_plain_path

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
        return job.program
    raise Refused("the program has several files, and the tests take one text")


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
