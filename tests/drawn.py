"""Corpora drawn from a seed, with what engines are most likely to treat differently.

Bytes that are no UTF-8, letters of several planes, line ends of three kinds, texts of one line,
files without text, pairs on both sides of the near dedup's threshold, copies inside a repository
and across, equal names, odd names, numbers that round, many small repositories.
"""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from pathlib import Path

WORDS = ["alpha", "beta", "gamma", "delta", "count", "total", "index", "value", "naïve", "e\u0301"]
WORDS += ["größe", "长度", "имя", "λ", "🙂"]
ENDS = ("\n", "\r\n", "\r")
# Language -> (ending, a line of it, a comment). {a} and {b} are words, {n} a number.
LINES = {
    "py": (".py", "    {a}_{n} = {b}({n}.{n:02d}, '{a} {b}')", "# {a} {b}"),
    "js": (".js", "  const {a}{n} = {b}[{n}] || '{a}';", "// {a} {b}"),
    "c": (".c", "  int x{n} = y({n}); /* {a} */", "/* {b} */"),
    "java": (".java", "    int x{n} = y({n});", "// {a}"),
    "md": (".md", "- {a} is {n}.{n} of {b}", "# {a}"),
    "json": (".json", '  "{a}{n}": [{n}, 0.{n}25, "{b}"],', '  "{a}": null,'),
}
HEADS = (
    "",
    "# Copyright 2024 The Authors\n# Licensed under the Apache License, Version 2.0\n",
    "\ufeff",
    "#!/usr/bin/env python\n",
)
ODD = {
    "empty.py": b"",
    "blank.py": b" \n\t\n" * 20,
    "latin.py": "name = 'é'\n".encode("latin-1") * 30,
    "zeros.c": b"int x;\n\0\0\n" * 9,
    "one line.js": b"var a=[" + b"0.12345,1e-7," * 600 + b"];",
    "broken.py": b"def f(:\n  return [\n" * 40,
    "a #1%20.py": b"x = 1  # named oddly\n" * 12,
    "größe.py": "größe = '长度'\n".encode() * 12,
}


def build(root: Path, seed: int, repositories: int = 6, files: int = 9) -> Path:
    """Repositories of at least `files` files each in `root`: folders, wheels, source archives.

    Every third one holds most of the files of the one before it. The same seed gives the same
    bytes.
    """
    draw = random.Random(seed)
    texts: list[tuple[str, list[str]]] = []
    before: dict[str, bytes] = {}
    for number in range(repositories):
        members = {name: body for name, body in ODD.items() if draw.random() < 0.5}
        if number % 3 == 2:
            members |= {f"vendor/{n}": body for n, body in before.items() if draw.random() < 0.9}
        for one in range(files):
            ending, lines = _copy(draw, texts) if texts and draw.random() < 0.5 else _new(draw)
            texts.append((ending, lines))
            folder = draw.choice(("", "src/", "src/deep/er/"))
            members[f"{folder}file{one}{ending}"] = draw.choice(ENDS).join(lines).encode()
        _write(root, f"drawn{seed}x{number}", members, draw.choice(("folder", "wheel", "tar")))
        before = members
    return root


def _copy(draw: random.Random, texts: list[tuple[str, list[str]]]) -> tuple[str, list[str]]:
    """A text that shares all, most or too little with an earlier one, and that one's ending."""
    ending, lines = draw.choice(texts)
    lines = list(lines)
    for _ in range(round(len(lines) * draw.choice((0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.3)))):
        lines[draw.randrange(len(lines))] = f"y = {draw.randrange(10**6)}"
    return ending, lines


def _new(draw: random.Random) -> tuple[str, list[str]]:
    """(ending, lines) of a text in a drawn language."""
    ending, line, comment = LINES[draw.choice(sorted(LINES))]
    lines = draw.choice(HEADS).split("\n")
    for _ in range(draw.choice((3, 12, 40, 120, 200))):
        form = comment if draw.random() < 0.2 else line
        a, b = draw.choice(WORDS), draw.choice(WORDS)
        lines.append(form.format(a=a, b=b, n=draw.randrange(100)))
    return ending, [*lines, ""]


def _write(root: Path, name: str, members: dict[str, bytes], kind: str) -> None:
    """One repository, as a folder or as an archive whose bytes hang on the members alone."""
    if kind == "folder":
        for path, body in members.items():
            (root / name / path).parent.mkdir(parents=True, exist_ok=True)
            (root / name / path).write_bytes(body)
    elif kind == "wheel":
        with zipfile.ZipFile(root / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            for path, body in members.items():
                wheel.writestr(zipfile.ZipInfo(f"{name}/{path}"), body)
            about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nLicense: MIT\n"
            wheel.writestr(zipfile.ZipInfo(f"{name}-1.0.dist-info/METADATA"), about)
    else:
        with tarfile.open(root / f"{name}-1.0.tar", "w") as tar:
            for path, body in members.items():
                member = tarfile.TarInfo(f"{name}-1.0/{path}")
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))
