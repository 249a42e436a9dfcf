"""A prompt file and the text that it makes of one content.

The file is a template (string.Template) of `$fence` and the places that its reader names:
`$language` and `$content` for the rubric. The fence is made from a SHA-256 of what it encloses: no
text can hold a line that closes it, since the line would change the hash. A prompt's version is its
file's name and hash: an edited prompt is another oracle.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from string import Template

import conf
from conf.errors import SeedbedError

RUBRIC = frozenset({"language", "content"})


@dataclass(frozen=True)
class Prompt:
    # <name of the file>@<12 hex digits of its hash>
    version: str
    template: str

    def text(self, content: str, language: str | None, content_sha256: str, max_chars: int) -> str:
        """What is asked about a content.

        Of a longer one than `max_chars` the middle is left out, and the text says so.
        """
        if len(content) > max_chars:
            half = max_chars // 2
            left_out = f"\n[{len(content) - 2 * half} characters of the file left out here]\n"
            content = content[:half] + left_out + content[-half:]
        return self.fill(
            content_sha256, language=language or "an unknown language", content=content
        )

    def fill(self, sha256: str, **places: str) -> str:
        """The text with all places filled, and a fence made from `sha256`, the hash of whatever the
        fence encloses.
        """
        fence = hashlib.sha256(f"fence {sha256}".encode()).hexdigest()[:24]
        return Template(self.template).substitute(fence=fence, **places)


def load(path: str, places: frozenset[str] = RUBRIC) -> Prompt:
    """The prompt file at `path`, from the working directory or from the repository that holds the
    installed `conf`.

    Raises SeedbedError for a missing file, or one that is no template of `$fence` and all `places`.
    """
    candidates = [Path(path), Path(conf.__file__).parents[1] / path]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        raise SeedbedError(
            f"prompt file {path} does not exist", "give one such as conf/prompts/rubric-v1.txt"
        )
    text = file.read_text(encoding="utf-8")
    template = Template(text)
    if not template.is_valid() or set(template.get_identifiers()) != places | {"fence"}:
        wanted = sorted(places | {"fence"})
        raise SeedbedError(
            f"prompt {file} has the places {sorted(template.get_identifiers())}, not {wanted}",
            f"write {', '.join(f'${name}' for name in wanted)} where they belong, and $$ for a dollar sign",
        )
    return Prompt(f"{file.stem}@{hashlib.sha256(text.encode()).hexdigest()[:12]}", text)
