"""megatron_train.pretrain whose every step takes some seconds more.

slow_pretrain.py SECONDS key=value
"""

from __future__ import annotations

import time

from megatron_train import pretrain
from megatron_train.parallel import processes


def main(argv: list[str]) -> int:
    seconds, train_step = float(argv[0]), pretrain.train_step

    def slow(*arguments, **options):
        time.sleep(seconds)
        return train_step(*arguments, **options)

    pretrain.train_step = slow
    return pretrain.main(argv[1:])


if __name__ == "__main__":
    processes.run_ranks(main)
