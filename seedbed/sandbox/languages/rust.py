"""Rust, by rustc: one file, the standard library, no cargo (no build scripts, no macro crates)."""

from __future__ import annotations

import shutil

from seedbed.sandbox.languages import gcc, host_tools
from seedbed.sandbox.languages.host_tools import ask
from seedbed.sandbox.languages.language import Invocation, Language, Toolchain

_INSTALL = "https://rustup.rs, or apt-get install rustc"


def _toolchain() -> Toolchain:
    # rustup's rustc is a proxy that looks for the real one.
    proxy = shutil.which("rustc")
    if proxy is None:
        raise host_tools.MissingTool(f"rustc is not installed: {_INSTALL}")
    root = ask(proxy, "--print", "sysroot").splitlines()[0]
    compiler, version = f"{root}/bin/rustc", ask(proxy, "--version")
    linker = host_tools.tool("gcc", "apt-get install gcc (it links for rustc)")
    mounts = host_tools.join(
        host_tools.folders(f"{root}/bin", f"{root}/lib"),
        gcc.parts(linker, "c"),
        host_tools.libraries([compiler]),
    )
    options = (
        *("--edition=2021", "--crate-type=bin", "--crate-name=main", "-Copt-level=2"),
        *("-Ctarget-feature=+crt-static", "-Cdebuginfo=0", "-Ccodegen-units=2", "-Awarnings"),
        *(f"-Clinker={linker}", "--sysroot", root, "-o", "program", "{file}"),
    )
    # Without /proc the loader does not know where rustc lies.
    env = (("PATH", "/usr/bin"), ("LD_LIBRARY_PATH", f"{root}/lib"))
    return Toolchain(
        version,
        Invocation((compiler, *options), mounts, env),
        Invocation(("{box}/program",)),
    )


LANGUAGE = Language(
    "rust",
    "Rust",
    "main.rs",
    _toolchain,
    others=("rs",),
    memory_words=("memory allocation of",),
)
