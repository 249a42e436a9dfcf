"""GCC's own files: what it takes to compile C or C++, and to link for Rust."""

from __future__ import annotations

import os
from functools import cache

from seedbed.sandbox.languages import host_tools
from seedbed.sandbox.languages.host_tools import Mounts, ask
from seedbed.sandbox.languages.language import Invocation, Toolchain

# Static, so that the program's jail holds no library at all.
_OPTIONS = ("-O2", "-static", "-pipe", "-w", "-fmax-errors=20", "-ftemplate-depth=900")


@cache
def parts(compiler: str, language: str) -> Mounts:
    """What a run of the compiler reads. language: c or c++, as -x takes it."""
    names = ("cc1plus" if language == "c++" else "cc1", "collect2", "as", "ld")
    programs = [compiler, *(_program(compiler, name) for name in names)]
    start = ask(compiler, "-print-file-name=crt1.o")
    library = ask(compiler, "-print-libgcc-file-name")
    said = ask(compiler, "-x", language, "-E", "-v", "/dev/null").splitlines()
    first = said.index("#include <...> search starts here:") + 1
    include = [line.strip() for line in said[first : said.index("End of search list.")]]
    wanted = [os.path.dirname(start), os.path.dirname(library), *filter(os.path.isdir, include)]
    return host_tools.join(
        host_tools.folders(*wanted), host_tools.libraries(programs), (*_named(compiler),)
    )


def _program(compiler: str, name: str) -> str:
    found = ask(compiler, f"-print-prog-name={name}")
    return found if os.path.isabs(found) else host_tools.tool(found, "apt-get install binutils")


def _named(compiler: str) -> Mounts:
    """`as` and `ld` by the names that gcc looks for, in a folder of its search path."""
    return tuple(
        (os.path.realpath(_program(compiler, name)), f"/usr/bin/{name}") for name in ("as", "ld")
    )


def toolchain(command: str, package: str, language: str, options: tuple[str, ...]) -> Toolchain:
    """The toolchain of a language that GCC compiles. Raises MissingTool."""
    compiler = host_tools.tool(command, f"apt-get install {package}")
    version = ask(compiler, "--version").splitlines()[0]
    line = (compiler, *_OPTIONS, *options, "-o", "program", "{file}")
    return Toolchain(
        version,
        Invocation((*line, "-lm", "-pthread"), parts(compiler, language), (("PATH", "/usr/bin"),)),
        Invocation(("{box}/program",)),
        compiler_memory="RLIMIT_AS",
    )
