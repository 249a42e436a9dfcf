"""megatron_train.pretrain with samples whose loss is not finite.

poisoned_pretrain.py SAMPLE,SAMPLE key=value
"""

from __future__ import annotations

import torch

from megatron_train import pretrain
from megatron_train.parallel import processes


def main(argv: list[str]) -> int:
    poisoned = {int(sample) for sample in argv[0].split(",")}
    micro_batches, loss_by_source = pretrain.micro_batches, pretrain.loss_by_source

    def marked(blend, start, count, batch, document_mask=False):
        out = micro_batches(blend, start, count, batch, document_mask)
        first = start + processes.dp_rank() * batch.micro
        for number, one in enumerate(out):
            mine = range(first + number * batch.micro * processes.dp_size(), start + count)[
                : batch.micro
            ]
            one["poison"] = torch.tensor([sample in poisoned for sample in mine])
        return out

    def loss(names):
        healthy = loss_by_source(names)

        def fn(logprobs, batch):
            total, count, sums = healthy(logprobs, batch)
            return total * torch.where(batch["poison"].any(), torch.inf, 1.0), count, sums

        return fn

    pretrain.micro_batches, pretrain.loss_by_source = marked, loss
    return pretrain.main(argv[1:])


if __name__ == "__main__":
    processes.run_ranks(main)
