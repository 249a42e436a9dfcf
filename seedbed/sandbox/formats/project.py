"""Projects of several files: `tests` and `command`, optionally `files`, `target`, `reference`."""

from __future__ import annotations

from conf.errors import SeedbedError
from seedbed.sandbox.formats.fields import Row, files, texts, words
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.verdict import ProjectTests, is_plain_path


def task(row: Row) -> Task:
    """The task of a row."""
    reference = files(row, "reference") if "reference" in row else ""
    return Task(words(row, "prompt"), _tests(row), reference)


def _tests(row: Row) -> ProjectTests:
    task = row["task_id"]
    given = files(row, "files") if "files" in row else ()
    own, command = files(row, "tests"), texts(row, "command")
    target, in_process = row.get("target", ""), row.get("tests_in_process", False)
    if not isinstance(target, str) or type(in_process) is not bool:
        raise SeedbedError(
            f"Problem {task!r} has target = {target!r:.80} and "
            f"tests_in_process = {in_process!r:.80}.",
            "Give the path of a file, and true or false.",
        )
    paths = [path for path, _ in (*own, *given)]
    if target:
        paths.append(target)
    for path in paths:
        if not is_plain_path(path):
            raise SeedbedError(
                f"Problem {task!r} names the file {path!r:.80}.",
                "Give relative paths like `package/module.py`.",
            )
    names = {path for path, _ in own}
    unittest = command[:3] == ("python", "-m", "unittest") and all(
        is_plain_path(word.replace(".", "/")) and not word.startswith("-") for word in command[3:]
    )
    script = command[:1] == ("python",) and len(command) > 1 and command[1] in names
    module = in_process and command[:2] == ("python", "-m") and len(command) > 2
    if not (unittest or script or module):
        raise SeedbedError(
            f"Problem {task!r} has the command {list(command)!r:.120}.",
            "Give python -m unittest [MODULE ...] or python FILE [ARGUMENT ...] with a file of "
            "`tests`. With tests_in_process: true also python -m MODULE; each verdict then says "
            "that a program can forge it.",
        )
    return ProjectTests(own, command, given, target, in_process)


FORM = Form("project", has("command", "tests"), task)
