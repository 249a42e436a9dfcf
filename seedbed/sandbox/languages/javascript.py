"""JavaScript, by Node. No compiler: a fault in the source shows when it runs."""

from __future__ import annotations

from seedbed.sandbox.languages import host_tools
from seedbed.sandbox.languages.language import Invocation, Language, Toolchain

# Node starts about ten threads of its own.
_THREADS = 24
# Private writable memory of an empty program, and what the heap's limit leaves out.
_FLOOR = 192 << 20
MEMORY_WORDS = ("JavaScript heap out of memory", "Array buffer allocation failed")


def node() -> tuple[str, str]:
    """Path and version. Raises MissingTool."""
    path = host_tools.tool("node", "apt-get install nodejs")
    return path, host_tools.ask(path, "--version")


def stage(path: str, file: str) -> Invocation:
    """Node on a file of the jail. The heap's own limit is near that of the kernel."""
    options = ("--max-old-space-size={memory_mb}", "--stack-size=7800")
    return Invocation(
        (path, *options, file),
        host_tools.libraries([path]),
        # io_uring would end the process, since no program may use it.
        # The host's settings of OpenSSL are not there; a refused look would end Node.
        (("UV_USE_IO_URING", "0"), ("OPENSSL_CONF", "{box}/none")),
    )


def runtime(path: str, version: str, compiler: Invocation | None) -> Toolchain:
    """Node as what runs a program in JavaScript."""
    return Toolchain(
        version,
        compiler,
        stage(path, "{box}/main.js"),
        output="main.js",
        memory="RLIMIT_DATA",
        memory_floor=_FLOOR,
        threads=_THREADS,
        writes_code=True,
    )


LANGUAGE = Language(
    "javascript",
    "JavaScript",
    "main.js",
    lambda: runtime(*node(), None),
    others=("js", "node", "mjs"),
    memory_words=MEMORY_WORDS,
)
