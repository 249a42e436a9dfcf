"""Java, by a JDK: javac, then the JVM."""

from __future__ import annotations

import os
import re

from seedbed.sandbox.languages import host_tools, java_tuples
from seedbed.sandbox.languages.language import Invocation, Language, Toolchain

_INSTALL = "apt-get install openjdk-17-jdk-headless"
# One small collector, and no files that other processes could read.
_JVM = ("-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xshare:auto", "-XX:VMThreadStackSize=1024")
# Threads that the JVM starts for itself.
_THREADS = 32
# Private writable memory of an empty program besides its heap: code cache, metaspace, stacks.
_FLOOR = 512 << 20
_PACKAGE = re.compile(r"^\s*package\s+([\w.]+)\s*;", re.M)
_PUBLIC = re.compile(r"^\s*public\s+(?:(?:final|abstract|strictfp|sealed)\s+)*"
                     r"(?:class|interface|enum|record)\s+(\w+)", re.M)  # fmt: skip
_CLASS = re.compile(r"\b(?:class|enum|record|interface)\s+(\w+)")
_MAIN = re.compile(r"\bstatic\s+(?:public\s+)?(?:final\s+)?void\s+main\s*\(")


def layout(source: str) -> dict[str, str]:
    """The file must be named after the public class, and the class with `main` is what runs."""
    public, main = _PUBLIC.search(source), _MAIN.search(source)
    names = [found for found in _CLASS.finditer(source) if main and found.start() < main.start()]
    name = public[1] if public else "Main"
    package = _PACKAGE.search(source)
    # Of the classes before main the public one, else the last: an inner class is rare there.
    outer = [found[1] for found in names if public and found[1] == public[1]]
    runs = outer[0] if outer else names[-1][1] if names else name
    return {"file": f"{name}.java", "main": f"{package[1]}.{runs}" if package else runs}


def _toolchain() -> Toolchain:
    home = os.path.dirname(os.path.dirname(host_tools.tool("javac", _INSTALL)))
    java, javac = f"{home}/bin/java", f"{home}/bin/javac"
    version = host_tools.ask(java, "-version").splitlines()[0]
    libraries = host_tools.libraries(
        [java, javac, *(f"{home}/lib/{name}.so" for name in ("server/libjvm", "libjava", "libnio"))]
    )
    mounts = host_tools.join(host_tools.folders(home), host_tools.outward(home), libraries)
    own = [f"-J{option}" for option in (*_JVM, "-Xmx1g", "-XX:TieredStopAtLevel=1")]
    # No annotation processors, no class path but the file's own folder.
    options = ("-proc:none", "-nowarn", "-encoding", "UTF-8", "-cp", ".", "-d", ".", "{file}")
    # The launcher gives the first size to the main thread, the JVM the second one to all others.
    heap = ("-Xmx{memory_mb}m", "-Xss64m", "-XX:ThreadStackSize=1024")
    program = (java, *_JVM, *heap, "-ea", "-Dfile.encoding=UTF-8", "-cp", "{box}", "{main}")
    # Without /proc the loader does not know where the JVM lies.
    env = (("LD_LIBRARY_PATH", f"{home}/lib/server:{home}/lib"),)
    return Toolchain(
        version,
        Invocation((javac, *own, *options), mounts, env),
        Invocation(program, mounts, env),
        output=".",
        memory="RLIMIT_DATA",
        memory_floor=_FLOOR,
        threads=_THREADS,
        writes_code=True,
    )


LANGUAGE = Language(
    "java",
    "Java",
    "Main.java",
    _toolchain,
    memory_words=("OutOfMemoryError",),
    layout=layout,
    library=java_tuples.FILES,
)
