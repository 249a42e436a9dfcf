"""Go, by its compiler and linker without the go command.

The go command would need a cache that it may write, and would run cgo and its C compiler. The
compiler alone reads the archives of the standard library, which are made once per host.
"""

from __future__ import annotations

import os
from pathlib import Path

from seedbed.sandbox.languages import host_tools
from seedbed.sandbox.languages.host_tools import ask
from seedbed.sandbox.languages.language import Invocation, Language, Toolchain

_INSTALL = "https://go.dev/dl, or apt-get install golang-go"
_THREADS = 16
# Private writable memory of an empty program: the first arena of the heap and the stacks.
_FLOOR = 192 << 20
_IMPORTS = "importcfg"


def archives(go: str, version: str) -> str:
    """Folder with the compiled standard library, made where it is missing (about 90 s of CPU).

    It is a build cache of its own in the user's cache folder, so it holds nothing of the user's.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base, "seedbed", version.split()[2])
    listed = folder / _IMPORTS
    if not listed.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        env = {
            "GOCACHE": str(folder), "GOTOOLCHAIN": "local", "GOPROXY": "off", "CGO_ENABLED": "0",
            "GOFLAGS": "", "GOENV": "off", "GO111MODULE": "off", "GOWORK": "off",
        }  # fmt: skip
        form = "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}"
        said = ask(go, "list", "-export", "-f", form, "std", env=env, seconds=1800)
        lines = [line for line in said.splitlines() if line.startswith("packagefile ")]
        part = folder / f"{_IMPORTS}.{os.getpid()}"
        part.write_text("\n".join(lines) + "\n")
        os.replace(part, listed)
    return str(folder)


def _toolchain() -> Toolchain:
    go = host_tools.tool("go", _INSTALL)
    version = ask(go, "version")
    root = ask(go, "env", "GOROOT")
    tools = f"{root}/pkg/tool/linux_amd64"
    std = archives(go, version)
    # Two commands in one jail: the linker reads what the compiler wrote.
    script = (
        f"{tools}/compile -p main -complete -importcfg {std}/{_IMPORTS} -o main.o {{file}} && "
        f"{tools}/link -s -w -importcfg {std}/{_IMPORTS} -buildmode=exe -o program main.o"
    )
    shell = os.path.realpath("/bin/sh")
    mounts = host_tools.join(host_tools.folders(tools, std), host_tools.libraries([shell]))
    return Toolchain(
        version,
        Invocation((shell, "-c", script), mounts, (("GOROOT", root), ("GOMAXPROCS", "2"))),
        Invocation(("{box}/program",), (), (("GOMAXPROCS", "2"), ("GOTRACEBACK", "none"))),
        memory="RLIMIT_DATA",
        memory_floor=_FLOOR,
        threads=_THREADS,
    )


LANGUAGE = Language(
    "go",
    "Go",
    "main.go",
    _toolchain,
    others=("golang", "go_test.go"),
    memory_words=("out of memory", "cannot allocate memory"),
)
