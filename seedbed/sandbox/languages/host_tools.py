"""Looks for compilers and runtimes on the host, and for the files that they need.

These are the host's own tools, so they are asked outside of any jail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping

from seedbed.sandbox.languages.language import MissingTool

Mounts = tuple[tuple[str, str], ...]


def tool(name: str, install: str) -> str:
    """The real path of a command. Raises MissingTool."""
    found = shutil.which(name)
    if found is None:
        raise MissingTool(f"{name} is not installed: {install}")
    return os.path.realpath(found)


def ask(*command: str, env: Mapping[str, str] | None = None, seconds: float = 60) -> str:
    """What a command prints, stderr after stdout. Raises MissingTool where it fails."""
    whole = {**os.environ, "LC_ALL": "C", **(env or {})}
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds, env=whole
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingTool(f"{command[0]} does not run: {error}") from error
    said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
    if done.returncode != 0:
        last = said.splitlines()[-1:] or ["it says nothing"]
        raise MissingTool(f"{' '.join(command)} fails: {last[0][:200]}")
    return said


def inside(path: str) -> tuple[str, str]:
    """A host path with the path that it has in a jail: its folder without symbolic links."""
    folder = os.path.realpath(os.path.dirname(path))
    return os.path.realpath(path), os.path.join(folder, os.path.basename(path))


def libraries(programs: Iterable[str]) -> Mounts:
    """The programs, and the shared libraries with the loader that ldd(1) names for them."""
    found = {}
    for program in programs:
        found[program] = os.path.realpath(program)
        for line in ask("ldd", program).splitlines():
            path = next((word for word in line.split() if word.startswith("/")), None)
            if path is not None and os.path.exists(path):
                source, target = inside(path)
                found[target] = source
    return tuple((source, target) for target, source in found.items())


def folders(*paths: str) -> Mounts:
    """Folders at the paths that they have on the host."""
    return tuple((real, real) for real in dict.fromkeys(map(os.path.realpath, paths)))


def outward(folder: str) -> Mounts:
    """What the symbolic links in a folder lead to outside of it."""
    found: dict[str, None] = {}
    for at, names, files in os.walk(folder):
        for name in (*names, *files):
            path = os.path.join(at, name)
            real = os.path.realpath(path)
            if os.path.islink(path) and not real.startswith(f"{folder}/") and os.path.exists(real):
                found[real] = None
    return tuple((path, path) for path in found)


def join(*parts: Mounts) -> Mounts:
    """Mounts together, without those that lie in a folder that is mounted anyway.

    Folders above others come first, so that a mount never covers another one.
    """
    every = sorted({target: source for part in parts for source, target in part}.items())
    kept: list[tuple[str, str]] = []
    for target, source in every:
        covered = any(
            target.startswith(f"{above}/") and source == origin + target[len(above) :]
            for origin, above in kept
            if os.path.isdir(origin)
        ) or any(
            target.startswith(f"{above}/") and os.path.isdir(origin) and os.path.exists(target)
            for origin, above in kept
        )
        if not covered:
            kept.append((source, target))
    return tuple(kept)


def links() -> Mounts:
    """The root folder's own links on this host, such as /lib64 -> usr/lib64."""
    names = ("bin", "lib", "lib64", "sbin")
    return tuple(
        (f"/{name}", os.readlink(f"/{name}")) for name in names if os.path.islink(f"/{name}")
    )
