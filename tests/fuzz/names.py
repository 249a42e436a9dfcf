"""The names of the boundaries, and the module of each: importing all of them takes long."""

from __future__ import annotations

from importlib import import_module

from tests.fuzz.boundary import Boundary

MODULES: dict[str, tuple[str, ...]] = {
    "wire": ("wire", "frames"),
    "archives": ("zip", "tar"),
    "configs": ("configs",),
    "rows": ("problems", "labels", "journals"),
    "answers": ("answers", "outputs"),
    "tables": ("delta-log", "delta-rows"),
    "model_folders": (
        "hf-config",
        "hf-tensors",
        "hf-headers",
        "hf-tokenizer",
        "token-manifest",
        "remote-manifest",
        "step-manifest",
    ),
}
NAMES = tuple(name for names in MODULES.values() for name in names)


def boundary(name: str) -> Boundary:
    """The boundary of a name."""
    module = next(module for module, names in MODULES.items() if name in names)
    found: tuple[Boundary, ...] = import_module(f"tests.fuzz.{module}").BOUNDARIES
    return next(one for one in found if one.name == name)
