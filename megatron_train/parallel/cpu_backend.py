"""megatron-core without CUDA: the few torch.cuda calls that it makes are answered with the CPU.

megatron-core writes `torch.cuda.current_device()`, `device="cuda"` and `.cuda()` where it means
"the device of this process". Each patch below answers one of these with the CPU, and none changes
the arithmetic. With CUDA nothing is patched. The list was found by leaving patches out one at a
time (megatron-core 0.16.1 and 0.19.2, torch 2.13).
"""

from __future__ import annotations

import contextlib
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
    """Patch torch for this process, once; `processes.start` calls it.

    Returns True where the patches are in force, and False with CUDA.
    """
    global _installed
    if torch.cuda.is_available():
        return False
    if _installed:
        return True
    _installed = True

    # `with torch.device(...)` knows the factories by identity, from its first use on. After they
    # are wrapped, its first use would miss them: transformers would then build on the CPU in place
    # of the meta device, and never fill in rotary frequencies.
    _device_constructors()

    cuda = torch.cuda
    # Gradient buffers, receive buffers of the pipeline, and tensor-parallel gathers ask for it.
    cuda.current_device = lambda: torch.device("cpu")
    # Pipeline sends, timers and the checkpoint writer wait for the device.
    cuda.synchronize = lambda device=None: None
    # It is taken before every gradient reduction, but used only with CUDA graphs.
    cuda.current_stream = lambda device=None: None
    # The dispatcher of tokens to experts reads their number on a stream of its own.
    cuda.Stream = _NoStream  # type: ignore[misc, assignment]
    cuda.stream = lambda stream: contextlib.nullcontext()  # type: ignore[assignment]
    cuda.get_rng_state = cuda.random.get_rng_state = lambda device=None: torch.get_rng_state()
    cuda.set_rng_state = cuda.random.set_rng_state = lambda state, device=None: torch.set_rng_state(
        state
    )
    cuda.manual_seed = cuda.manual_seed_all = lambda seed: torch.default_generator.manual_seed(seed)
    # Schedules, gradient clipping and the optimizer pass device="cuda" and pin_memory=True.
    for name in _FACTORIES:
        setattr(torch, name, _on_cpu(getattr(torch, name)))
    torch.Tensor.cuda = lambda self, *args, **kwargs: self  # type: ignore[method-assign]
    torch.Tensor.type = _cuda_type_names(torch.Tensor.type)  # type: ignore[method-assign]
    _patch_rng_forks()
    _patch_dispatcher()
    return True


class _NoStream:
    """Stands for a CUDA stream, and for its event: what was asked for is done already."""

    def wait_stream(self, stream: object) -> None:
        pass

    def record_event(self) -> _NoStream:
        return self

    def synchronize(self) -> None:
        pass


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
    """Give CPU tensors type names such as 'torch.cuda.FloatTensor'.

    The optimizer sorts parameters by these names.
    """

    def named(self: torch.Tensor, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
        if dtype is None:
            return type_method(self).replace("torch.", "torch.cuda.", 1)
        return type_method(self, dtype, *args, **kwargs)

    return named


def _patch_rng_forks() -> None:
    """Let forks of the generator work on the CPU generator.

    Without this patch nothing fails: torch queues the CUDA calls for later, and the forks do
    nothing.
    """
    import megatron.core.tensor_parallel.random as random

    random._get_cuda_rng_state = lambda device="cuda", clone=False, graph_safe=False: (
        torch.get_rng_state()
    )
    random._set_cuda_rng_state = lambda new_state, device=-1, graph_safe=False: torch.set_rng_state(
        new_state
    )
    # At every fork it warns that the CPU generator moved inside. Here that one must move.
    logging.getLogger(random.__name__).setLevel(logging.ERROR)


def _patch_dispatcher() -> None:
    """Let the number of tokens that go to each process be an array, as a copy from a GPU is.

    megatron-core leaves what is on the CPU already as a tensor, which all-to-all refuses.
    """
    import megatron.core.transformer.moe.token_dispatcher as token_dispatcher

    def moved(tensor: Any, as_numpy: bool = False, record_stream: bool = False) -> Any:
        return tensor.numpy() if as_numpy and torch.is_tensor(tensor) else tensor

    token_dispatcher.maybe_move_tensor_to_cpu = moved
