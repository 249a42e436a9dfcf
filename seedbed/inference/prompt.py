"""A prompt file, and the text that it makes of one content.

The file is a template (string.Template) with `$fence` and the fields that its reader names; the
rubric has `$language` and `$content`. The fence comes from a SHA-256 of what it encloses. So no
text can contain a line that closes it, because that line would change the hash. The version of a
prompt is the name and hash of its file. So an edited prompt is another oracle.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from string import Template

import conf
from conf.errors import SeedbedError

# The fields of the rubric.
RUBRIC = frozenset({"language", "content"})


@dataclass(frozen=True)
class Prompt:
    """A prompt file that was read. version: <name of the file>@<12 hex digits of its hash>."""

    version: str
    template: str

    def text(self, content: str, language: str | None, content_sha256: str, max_chars: int) -> str:
        """The prompt about a content.

        The middle of a content longer than `max_chars` is left out, and the prompt says so.
        """
        if len(content) > max_chars:
            half = max_chars // 2
            left_out = f"\n[{len(content) - 2 * half} characters of the file left out here]\n"
            content = content[:half] + left_out + content[-half:]
        return self.fill(
            content_sha256, language=language or "an unknown language", content=content
        )

    def fill(self, sha256: str, **fields: str) -> str:
        """The prompt with all fields filled in.

        sha256: the hash of what the fence encloses, from which the fence is made.
        """
        fence = hashlib.sha256(f"fence {sha256}".encode()).hexdigest()[:24]
        return Template(self.template).substitute(fence=fence, **fields)


def load(path: str, fields: frozenset[str] = RUBRIC) -> Prompt:
    """Reads a prompt file.

    path: relative to the working directory, or to the repository that holds the package `conf`.

    Raises SeedbedError for a missing file, or one that is no template of `$fence` and all `fields`.
    """
    candidates = [Path(path), Path(conf.__file__).parents[1] / path]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        raise SeedbedError(
            f"prompt file {path} does not exist", "give one such as conf/prompts/rubric-v1.txt"
        )
    text = file.read_text(encoding="utf-8")
    template = Template(text)
    if not template.is_valid() or set(template.get_identifiers()) != fields | {"fence"}:
        wanted = sorted(fields | {"fence"})
        raise SeedbedError(
            f"prompt {file} has the fields {sorted(template.get_identifiers())}, not {wanted}",
            f"write {', '.join(f'${name}' for name in wanted)} where they belong, "
            "and $$ for a dollar sign",
        )
    return Prompt(f"{file.stem}@{hashlib.sha256(text.encode()).hexdigest()[:12]}", text)
