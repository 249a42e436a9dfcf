"""The CPU backend leaves device contexts as they were.

It patches torch, so it is tested in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys

from tests.megatron_train import tiny

DEVICES = """
import torch
from megatron_train.parallel import cpu_backend
cpu_backend.install()
with torch.device("meta"):
    made = {name: getattr(torch, name)(*([[1]] if "tensor" in name else [2]))
            for name in cpu_backend._FACTORIES
            if not name.endswith("_like") and name not in ("full", "randint", "as_tensor")}
    made |= {"full": torch.full((2,), 1), "randint": torch.randint(3, (2,))}
print({name for name, value in made.items() if value.device.type != "meta"})
print(torch.zeros(2, device="cuda").device, torch.tensor([1], device="cuda:0").device)
"""


def test_a_device_context_reaches_every_factory_and_cuda_is_the_cpu():
    """transformers loads under the meta device.

    With `torch.tensor` left on the CPU, rotary frequencies were never filled in.
    """
    done = subprocess.run(
        [sys.executable, "-c", DEVICES],
        capture_output=True,
        text=True,
        cwd=tiny.ROOT,
        env=tiny.environment(),
    )
    assert done.stdout == "set()\ncpu cpu\n", done.stdout + done.stderr[-2000:]
