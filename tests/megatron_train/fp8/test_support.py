"""FP8 and packages that this device or environment cannot use are refused."""

from __future__ import annotations

import importlib.machinery

import pytest
import torch

from conf.errors import SeedbedError
from conf.schema.fp8 import Fp8Config
from megatron_train.fp8 import support


def test_fp8_without_cuda_and_transformer_engine_is_refused():
    with pytest.raises(SeedbedError, match="no CUDA device"):
        support.refuse_unusable(Fp8Config(format="hybrid"))
    support.refuse_unusable(Fp8Config())
    support.refuse_unusable(Fp8Config(format="hybrid", emulate=True))


def test_an_apex_that_is_not_nvidias_is_refused(monkeypatch):
    """PyPI's `apex` is an unrelated package; megatron-core takes any importable one."""
    found = {"apex": importlib.machinery.ModuleSpec("apex", None), "apex.optimizers": None}
    monkeypatch.setattr(support.importlib.util, "find_spec", lambda name: found.get(name))
    with pytest.raises(SeedbedError, match="not NVIDIA apex"):
        support.refuse_unusable(Fp8Config())


def test_a_recipe_that_the_device_has_no_tensor_cores_for_is_refused(monkeypatch):
    monkeypatch.setattr(support, "have_transformer_engine", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H100")
    support.refuse_unusable(Fp8Config(format="e4m3", recipe="blockwise"))
    with pytest.raises(SeedbedError, match=r"needs compute capability 10\.0; H100 has 9\.0"):
        support.refuse_unusable(Fp8Config(format="e4m3", recipe="mxfp8"))
