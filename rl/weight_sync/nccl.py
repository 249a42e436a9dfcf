"""Weights from the trainer's GPUs to a vLLM server's over NCCL, by vLLM's own transfer engines.

This was never run here, since it needs one GPU for the trainer and another for the server. The CPU
tests check that it uses the names, shapes and calls of the pinned vLLM, and that it refuses to run
without CUDA.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import torch

from conf.errors import SeedbedError
from megatron_train.checkpoint import hf_export
from megatron_train.parallel import processes
from megatron_train.training.step import TrainState
from seedbed.inference.checksums import Sums
from seedbed.inference.http_engine import HttpEngine

if TYPE_CHECKING:
    from vllm.distributed.weight_transfer.base import ParamMeta


def require_cuda() -> None:
    """Raises SeedbedError on a machine without a GPU."""
    if not torch.cuda.is_available():
        raise SeedbedError(
            "engine.transfer=nccl, but this process sees no CUDA device: "
            "NCCL moves weights between GPUs",
            "use engine.transfer=safetensors, which needs a folder that trainer and server both "
            "see",
        )


class NcclTransfer:
    """One NCCL group of trainer process 0 and the server's workers.

    All methods are collective over the trainer's processes.
    """

    def __init__(self, state: TrainState, engine: HttpEngine | None, url: str, port: int):
        """engine: the server at `url`, needed on process 0.

        The server's workers reach process 0 at its own address and `port`.
        """
        require_cuda()
        from vllm.distributed.weight_transfer.clients import HTTPVLLMWeightSyncClient
        from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

        workers = engine.get("get_world_size")["world_size"] if engine else 0
        self._source = source_of(state, processes.device())
        info = NCCLTrainerInitInfo(
            master_address=own_address(url),
            master_port=port,
            world_size=1 + workers,
            rank=processes.rank(),
        )
        client = HTTPVLLMWeightSyncClient(url)
        self._engine = WeightTransferTrainerFactory.trainer_init(
            info, client=client, source=self._source
        )

    def send(self, dtype: str) -> Sums:
        """Sends the present weights.

        Returns, on process 0, their checksums (seedbed/inference/checksums.py).
        """
        self._source.sums = Sums(dtype)
        self._engine.send_weights()
        return self._source.sums

    def close(self) -> None:
        """Leaves the group."""
        self._engine.shutdown()


def own_address(url: str) -> str:
    """This machine's address as the server at `url` can reach it."""
    import socket

    host, port = urlsplit(url).hostname, urlsplit(url).port or 80
    # Connecting a datagram socket sends nothing; it only chooses the route.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))
        return probe.getsockname()[0]


def source_of(state: TrainState, device: torch.device) -> Any:
    """The trainer's weights as vLLM's WeightSource.

    They have Hugging Face's names and are whole tensors, gathered one at a time.
    """
    from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource

    class Source(WeightSource):
        sums: Sums | None = None
        _metadata: list[ParamMeta] | None = None

        def metadata(self) -> list[ParamMeta]:
            """Name, dtype and shape of each tensor; collective at the first call.

            The shapes of whole tensors are known only once they are gathered.
            """
            if self._metadata is None:
                self._metadata = [
                    ParamMeta(n, t.dtype, tuple(t.shape)) for n, t in hf_export.tensors(state)
                ]
            return self._metadata

        def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
            for name, tensor in hf_export.tensors(state):
                if self.sums is not None:
                    self.sums.add(name, tensor)
                yield name, tensor.to(device)

    return Source()
