"""megatron-core without CUDA: the few torch.cuda doors it walks through lead to the CPU.

megatron-core writes `torch.cuda.current_device()`, `device="cuda"` and `.cuda()` where it means
"the device of this process". Each patch below answers one of these with the CPU; none changes
arithmetic. With CUDA nothing is patched. The list was found by leaving patches out one at a time
(megatron-core 0.16.1 and 0.19.2, torch 2.13).
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._device import _device_constructors

_FACTORIES = (
    *("tensor", "zeros", "ones", "empty", "full", "arange", "as_tensor"),
    *("empty_like", "zeros_like", "ones_like", "rand", "randn", "randint"),
)
_installed = False


def install() -> bool:
    """Patch torch for this process, once; `parallel.start` calls it.

    True where the patches are in force, False with CUDA.
    """
    global _installed
    if torch.cuda.is_available():
        return False
    if _installed:
        return True
    _installed = True

    # `with torch.device(...)` knows the factories by identity, from its first use on. Were that
    # after they are wrapped, it would leave them alone, and transformers would take its meta device
    # for the CPU and never fill in rotary frequencies.
    _device_constructors()

    cuda = torch.cuda
    cuda.current_device = lambda: torch.device(
        "cpu"
        # gradient buffers, pipeline receive buffers, tensor-parallel gathers
    )
    # pipeline sends, timers, checkpoint writer
    cuda.synchronize = lambda device=None: None
    # taken before every gradient reduction, used only with CUDA graphs
    cuda.current_stream = lambda device=None: None
    cuda.get_rng_state = cuda.random.get_rng_state = lambda device=None: torch.get_rng_state()
    cuda.set_rng_state = cuda.random.set_rng_state = lambda state, device=None: torch.set_rng_state(
        state
    )
    cuda.manual_seed = cuda.manual_seed_all = lambda seed: torch.default_generator.manual_seed(seed)
    # device="cuda" and pin_memory=True in schedules, gradient clipping, the optimizer
    for name in _FACTORIES:
        setattr(torch, name, _on_cpu(getattr(torch, name)))
    torch.Tensor.cuda = lambda self, *args, **kwargs: self  # type: ignore[method-assign]
    torch.Tensor.type = _cuda_type_names(torch.Tensor.type)  # type: ignore[method-assign]
    _patch_rng_forks()
    return True


def _on_cpu(factory: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    @functools.wraps(factory)
    def made(*args: Any, **kwargs: Any) -> torch.Tensor:
        device = kwargs.get("device")
        if device is not None and str(device).startswith("cuda"):
            kwargs["device"] = "cpu"
        if kwargs.get("pin_memory"):
            kwargs["pin_memory"] = False
        return factory(*args, **kwargs)

    return made


def _cuda_type_names(type_method: Callable[..., Any]) -> Callable[..., Any]:
    """The optimizer sorts parameters by the names 'torch.cuda.FloatTensor' and so on: give CPU
    tensors those names.
    """

    def named(self: torch.Tensor, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
        if dtype is None:
            return type_method(self).replace("torch.", "torch.cuda.", 1)
        return type_method(self, dtype, *args, **kwargs)

    return named


def _patch_rng_forks() -> None:
    """Left out, this one is silent: torch queues the CUDA calls for later, and forks of the
    generator do nothing.
    """
    import megatron.core.tensor_parallel.random as random

    random._get_cuda_rng_state = lambda device="cuda", clone=False, graph_safe=False: (
        torch.get_rng_state()
    )
    random._set_cuda_rng_state = lambda new_state, device=-1, graph_safe=False: torch.set_rng_state(
        new_state
    )
    # It warns at every fork that the CPU generator moved inside: here the CPU generator is the one
    # that must move.
    logging.getLogger(random.__name__).setLevel(logging.ERROR)
